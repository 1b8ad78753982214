"""SIP, RTP, recording: the telephone itself. Empty until the telephone lands."""
