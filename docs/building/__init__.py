"""What is made at every build of the site: pages of laws and of the reference, lists of pages, drawn equations."""
