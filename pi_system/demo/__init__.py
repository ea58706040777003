"""``pi-client demo``: a page on this machine that shows one private inference, its parties real processes behind it.

    browser  <->  page (app.py)  <->  client process (client_process.py)  <->  [relay.py]  <->  pi-server, pi-dealer

Both parties are the user's own, so the page may show what no party of a real run could: the shares of both. The client
process and the server process of the demo hand a ``ShareTap`` (tap.py) to the seam that measurements use; no option of
``pi-server`` or ``pi-client infer`` does.
"""
