"""What bench/run, bench/compare and bench/serve are made of.

    allocators  the rivals, and how a process is put on each
    discover    hosts, Pythons and libraries that are there
    child       one clean child process
    groups      what is run, as a command; what it printed, as rows
    server      the group of web servers under load, made of
      webhosts  the servers, as they are configured
      service   one of them, as processes
      load      load generators
    schedule    rounds, their order, the time they take
    busy        what else used the processors meanwhile
    results     the file that keeps every run
    stats       medians, intervals, geometric means
    ratios      rows and geometric means, rival by rival
    targets     what is aimed at
    table       text and Markdown
      server_table  what servers did, in their own units
    chart       SVG
    machine     what it was measured on
    options     the command line of bench/run
    diff        two result files against each other
    serve       bench/serve: one server under load, for a profiler

Python 3.9 or newer, its standard library, nothing else.
"""
