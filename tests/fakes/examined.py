"""What a test of the doctor asks of findings."""


def codes(findings):
    """Their codes, in order."""
    return [finding.code for finding in findings]


def only(findings, code):
    """The one finding of that code."""
    found = [each for each in findings if each.code == code]
    assert len(found) == 1, [(each.code, each.found) for each in findings]
    return found[0]
