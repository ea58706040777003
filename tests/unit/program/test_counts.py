from tiny_artifact import GRAPH

from pi_system.program import count_nodes, mac_count, parameter_count, relu_count, relu_layers


def test_counts_of_a_graph_by_hand() -> None:
    rows = {row.name: row for row in count_nodes(GRAPH)}
    assert (rows["conv"].macs, rows["conv"].parameters) == (8 * 9, 18 + 2)
    assert (rows["fc"].macs, rows["fc"].parameters) == (16, 18)
    assert (rows["relu"].relus, rows["relu"].macs) == (5, 0)
    assert (relu_count(GRAPH), relu_layers(GRAPH)) == (5, 1)
    assert (mac_count(GRAPH), parameter_count(GRAPH)) == (88, 38)
