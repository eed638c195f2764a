"""Which edit a query is in: retrieve candidates, classify, verify. Not here: what an edit does inside its
scope.
"""
