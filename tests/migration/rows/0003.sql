-- A page that is live at the gateway when the product is upgraded: forgetting it would make a second one.
INSERT INTO pay_page (person_id, case_id, number, amount_minor, currency, description, return_url, url, reference, expires_at)
VALUES ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000031', 2, 2500, 'USD',
    'Payment to Hope House', 'https://pay.example.org/paid/x', 'https://checkout.example/c/cs_1', 'cs_1',
    now() + interval '1 day');
