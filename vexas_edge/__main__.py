from vexas_edge.cli import main

main()
