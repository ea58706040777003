"""The profile of a real inference, for people and for trace viewers.

timeline.py  both parties' pieces on one clock
spans.py     the sums of each layer
chrome.py    the file that trace viewers show, written
"""
