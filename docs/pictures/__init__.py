"""The pictures of the reference of families, one for each page, drawn through expfam itself."""
