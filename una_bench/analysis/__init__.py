"""Statistics over records. Imports no torch; reads only records and the documents saved beside them."""
