from vexas_edge.commands.cli import main

main()
