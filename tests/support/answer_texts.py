"""What people and machines say when they answer, for made samples. Even rows choose settings, odd rows are reported.

`|` parts pieces: `pause 0.8` is silence in seconds, `beep` a tone after a breath of silence.
"""

from __future__ import annotations

PERSON_KINDS = frozenset({"short greeting", "greeting with name", "greeting twice", "business greeting"})

TEXTS: dict[str, dict[str, tuple[str, ...]]] = {
    "short greeting": {
        "en": ("Hello?", "Yes?", "Hi", "Hello.", "Yeah", "Hi there."),
        "es": ("¿Bueno?", "Diga", "¿Hola?", "¿Sí?", "Dígame", "Aló"),
        "fr": ("Allô ?", "Oui ?", "Bonjour", "Oui, allô ?", "Oui, bonjour", "Allô, oui ?"),
    },
    "greeting with name": {
        "en": ("Hello, Maria speaking", "Garcia household", "This is Robert, hello?", "Hello, who is calling please?"),
        "es": ("Hola, habla María", "Casa de la familia García", "Sí, soy Roberto, dígame", "¿Bueno, quién habla?"),
        "fr": ("Allô, Marie à l'appareil", "Famille Garnier, bonjour", "Oui, ici Robert", "Bonjour, qui est-ce ?"),
    },
    "greeting twice": {
        "en": ("Hello|pause 1.2|hello?", "Hello|pause 0.5|hello, who is there?"),
        "es": ("¿Bueno?|pause 1.2|¿bueno?", "¿Sí?|pause 0.5|¿quién es?"),
        "fr": ("Allô ?|pause 1.2|allô ?", "Oui ?|pause 0.5|qui est-ce ?"),
    },
    "business greeting": {
        "en": (
            "Good afternoon, Harper and Sons, Julie speaking, what can I do for you?",
            "Good morning, Baker Street Dental, how can I help you?",
            "Northside Library, this is Peter, good morning.",
            "Thank you for calling Riverside Family Medicine, this is Amanda, how may I direct your call?",
        ),
        "es": (
            "Buenas tardes, Talleres Romero, le atiende Julia, ¿qué desea?",
            "Buenos días, clínica dental Baker, ¿en qué puedo ayudarle?",
            "Biblioteca del Norte, habla Pedro, buenos días.",
            "Gracias por llamar a Medicina Familiar Ribera, soy Amanda, ¿con quién le comunico?",
        ),
        "fr": (
            "Garage Martin bonjour, Julie à votre écoute, que puis-je faire pour vous ?",
            "Cabinet dentaire Baker, bonjour, comment puis-je vous aider ?",
            "Bibliothèque du Nord, Pierre, bonjour.",
            "Merci d'appeler le cabinet médical des Rives, ici Amandine, avec qui souhaitez-vous parler ?",
        ),
    },
    "long machine greeting": {
        "en": (
            "Hello, you have reached the Millers. We are not at home right now, so please leave your name and number "
            "after the tone and we will call you back.|beep",
            "You have reached five five five, zero one two three. Nobody can take your call at the moment. Please "
            "leave a message after the tone.|beep",
        ),
        "es": (
            "Hola, ha llamado a la familia Molina. En este momento no estamos en casa, por favor deje su nombre y su "
            "número después de la señal.|beep",
            "Este es el contestador automático de Carlos. Ahora no puedo atender su llamada, deje un mensaje después "
            "del tono y le llamaré.|beep",
        ),
        "fr": (
            "Bonjour, vous êtes bien chez les Meunier. Nous sommes absents pour le moment, merci de laisser votre nom "
            "et votre numéro après le signal sonore.|beep",
            "Vous êtes sur le répondeur de Charles. Je ne peux pas vous répondre, laissez un message après le bip et "
            "je vous rappellerai.|beep",
        ),
    },
    "two-part machine greeting": {
        "en": (
            "Hi, this is Tom.|pause 0.7|I can't come to the phone right now, please leave me a message.|beep",
            "Hello!|pause 1.1|You have reached Susan's phone. Leave a message and I will get back to you.|beep",
        ),
        "es": (
            "Hola, soy Tomás.|pause 0.7|Ahora no puedo contestar, por favor déjame un mensaje.|beep",
            "¡Hola!|pause 1.1|Ha llamado al teléfono de Susana. Deje un mensaje y le llamaré.|beep",
        ),
        "fr": (
            "Bonjour, c'est Thomas.|pause 0.7|Je ne peux pas répondre, laissez-moi un message.|beep",
            "Bonjour !|pause 1.1|Vous êtes sur le téléphone de Suzanne. Laissez un message, je vous rappelle.|beep",
        ),
    },
    "carrier voice mail": {
        "en": (
            "The person you are calling is not available. At the tone, please record your message. When you have "
            "finished recording, you may hang up.|beep",
            "Your call has been forwarded to an automated voice messaging system.|pause 0.4|Five, five, five, zero, "
            "one, nine, nine|pause 0.4|is not available. Please record your message after the tone.|beep",
        ),
        "es": (
            "La persona a la que llama no está disponible. Grabe su mensaje después de la señal. Cuando termine, "
            "puede colgar.|beep",
            "Su llamada ha sido transferida al buzón de voz.|pause 0.4|Por favor deje su mensaje al escuchar la "
            "señal.|beep",
        ),
        "fr": (
            "Votre correspondant n'est pas disponible. Enregistrez votre message après le signal sonore, puis "
            "raccrochez.|beep",
            "Bonjour, vous êtes sur la messagerie vocale de votre correspondant.|pause 0.4|Veuillez laisser un message "
            "après le bip.|beep",
        ),
    },
    "short machine greeting": {
        "en": ("This is Ann, leave a message.|beep", "Hi, it's Bob, leave a message.|beep"),
        "es": ("Soy Ana, deja un mensaje.|beep", "Hola, soy Beto, deja tu mensaje.|beep"),
        "fr": ("C'est Anne, laissez un message.|beep", "Salut, c'est Bob, laisse un message.|beep"),
    },
}
