"""The report: one self-contained HTML file with what was learned, what was forgotten, and the SQL behind each picture.

    page                    the file; page_data: what it says of one base; headline: the study in words
    learned                 learning over forgetting: headline, tables and pictures of a language
    comparison              the page beside it that holds the studies of a workspace against each other
    templates               what the pages have in common; assets/: templates, style and scripts
    queries                 the SQL, one statement a picture
    series                  names, shapes and numbers as people read them
    plots, scatter_plot     the plots, by matplotlib; inline_svg: in the page; paper_plots: for papers, of kept results

Exports `write_report` and where it writes, `report_file`. Reads the catalog and nothing else; needs neither Prefect nor
torch.
"""

from flows.report.page import report_file, write_report

__all__ = ["report_file", "write_report"]
