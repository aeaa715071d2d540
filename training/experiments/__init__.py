"""The papers' tables, each with one command: `python -m training experiment NAME`.

recipe.py has the form of a table, paper1.py and paper2.py the tables with what was published, catalogue.py all of them;
sources.py finds data and says what lacks, runner.py trains, table.py and plot.py write.
"""
