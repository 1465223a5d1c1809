"""What people play with in JupyterLab: browse documents, move a threshold, look for reasons."""
