"""Common Crawl: its snapshots, its columnar index, the condition on pages and what a selection by it froze."""
