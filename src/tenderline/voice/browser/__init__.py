"""An agent's browser as a telephone: ICE, DTLS and SRTP in the voice node, G.711 both ways (docs/decisions/0031)."""
