"""Documents that are asked for: from an HTTP API page by page, or from a program. Each lands in a file.

    source + window ─▶ walk: which page, and the next ─▶ fetch ─▶ connection ─▶ target
                                                          └─ landing: size limit, gzip ─▶ file
    source ─▶ output: run the program ─────────────────────── landing ──────────────────▶ file

walk       from one page to the next, and where a later run goes on. Pure
address    URL and headers of a page. Pure
fetch      a page through its connection: gate, sign-in, Retry-After; called from a run's thread
output     what a program prints
landing    bytes into a file, never more than allowed
"""
