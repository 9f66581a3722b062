"""What benches/server/run is made of. Standard library only.

| module      | what it owns                                                        |
|-------------|---------------------------------------------------------------------|
| machine     | this machine and this checkout; CPU time and memory of a process    |
| processes   | starting, waiting with a deadline, ending what was started          |
| servers     | the servers: how each is built, started and driven                  |
| measure     | one measurement each, as a record (a dict)                          |
| sections    | which measurements belong together, and in which order they run     |
| tables      | records to Markdown. Pure                                           |
| plot        | records to SVG. Pure                                                |

Tests: test_*.py, run by `python3 -m unittest discover -s benches/server -t benches/server`.
"""
