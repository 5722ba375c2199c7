"""Pages for people, under /ui/: what did this user do?

Made on the server, so that each works without JavaScript as far as it can; charts and the live tail need it. Every
view is an address that can be sent to somebody. `door` says who may look, `show` what is true of all pages, `words` how
things are said, `charts` what is drawn; then one module a page. Needs the extra [ui].
"""
