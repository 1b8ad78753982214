"""The JSON edge: webhooks, OAuth and the resources, one file for each resource."""
