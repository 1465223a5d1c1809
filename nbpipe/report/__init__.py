"""What people look at: pictures for the notebooks, and the report as one offline HTML folder."""
