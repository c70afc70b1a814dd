def write_report(out, images=None):
    return out / "report.html"
