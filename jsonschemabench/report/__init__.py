"""Result files as one page: ``results`` reads them, ``figures`` makes of them what ``svg`` draws and ``page`` shows.

``page`` writes HTML, ``markdown`` the same for a README, ``browser`` a picture of it; ``command`` is the command line.
"""
