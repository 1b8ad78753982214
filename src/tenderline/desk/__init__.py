"""What people at work see, as plain data: the HTML and JSON edges only draw it."""
