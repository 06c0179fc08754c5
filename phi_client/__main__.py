"""`python -m phi_client`: check the configured endpoints, without generating anything.

It must not decide what is right or wrong: `_check` does.
"""

import json
import sys

from phi_client._check import check_endpoints


def main() -> None:
    """Print the findings, as JSON with `--json`; exits with 1 after a failure, with 2 when used wrongly."""
    arguments = sys.argv[1:]
    if arguments not in ([], ["--json"]):
        print(
            "usage: python -m phi_client [--json]   (it reads PHI_ENDPOINT and its sisters)", file=sys.stderr
        )
        sys.exit(2)
    findings = check_endpoints()
    for finding in findings:
        if arguments:
            print(json.dumps({"status": finding.status, "subject": finding.subject, "text": finding.text}))
        else:
            print(f"{finding.status:8} {finding.subject:11} {finding.text}")
    sys.exit(any(finding.status == "failure" for finding in findings))


if __name__ == "__main__":
    main()
