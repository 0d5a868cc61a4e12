from misc.cli.scripts import Evaluated, evaluate_and_report, listed, run, write_json

__all__ = ["Evaluated", "evaluate_and_report", "listed", "run", "write_json"]
