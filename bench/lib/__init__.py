"""What bench/run and bench/compare are made of.

    allocators  the rivals, and how a process is put on each
    discover    hosts, Pythons and libraries that are there
    child       one clean child process
    groups      what is run, as a command; what it printed, as rows
    schedule    rounds, their order, the time they take
    results     the file that keeps every run
    stats       medians, intervals, geometric means
    ratios      rows and geometric means, rival by rival
    targets     what is aimed at
    table       text and Markdown
    chart       SVG
    machine     what it was measured on
    options     the command line of bench/run
    diff        two result files against each other

Python 3.9 or newer, its standard library, nothing else.
"""
