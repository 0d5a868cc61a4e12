from misc.cli.scripts import evaluate_and_report, listed, run, write_json

__all__ = ["evaluate_and_report", "listed", "run", "write_json"]
