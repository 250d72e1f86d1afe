"""The comparator: joins the answers of two revisions to the same requests while one of them gets copies."""
