"""The report: what a study found, as one page that anybody can read and pass on.

In: a `search.stored.StoredStudy`, in whatever state it is. Out: `page.build_report`, one HTML file that needs no
network; `figures`, the same figures for notebooks; `comparing.compare_studies`, studies side by side;
`delivering.deliver_report`, the page on the disk and in MLflow.

`material` reads all that is told, once; nothing behind it touches a disk. `exhibit` and `table` are what sections are
made of, `markup` writes their HTML, `style` holds the colours. Only this room knows Plotly. Nothing here trains,
scores or chooses: every judgement is the search room's own, so the page and `status` cannot disagree.
"""

__all__: list[str] = []
