"""What `make demo` shows: a real AWS SDK, configured by nothing but its environment.

Run it with `imdsd demo -- python examples/tour.py`, or after `eval "$(imdsd env)"`.
"""

import subprocess
import sys

import boto3
import botocore.session
from botocore.utils import InstanceMetadataFetcher


def imdsd(*words: str) -> None:
    """Run a verb, as a person would."""
    print(f"\n$ imdsd {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "imdsd", *words], check=True)


def whoami() -> str:
    """Sign a request with whatever credentials boto3 finds, and return the access key id."""
    session = boto3.Session()
    identity = session.client("sts").get_caller_identity()
    credentials = session.get_credentials()
    print(f"  found by boto3 as     {credentials.method}")
    print(f"  access key id         {credentials.access_key}")
    print(f"  signature good, for   {identity['Arn']}")
    return str(credentials.access_key)


def role_by_imds() -> str:
    """Ask as on an EC2 instance and return the access key id."""
    endpoint = botocore.session.get_session().get_config_variable("ec2_metadata_service_endpoint")
    fetcher = InstanceMetadataFetcher(config={"ec2_metadata_service_endpoint": endpoint})
    found = fetcher.retrieve_iam_role_credentials()
    print(f"  role {found['role_name']}, access key id {found['access_key']}")
    return str(found["access_key"])


def main() -> None:
    """Show the main job end to end; end in an error if a step is not as it should be."""
    print("1. An SDK without any configuration signs a request:\n")
    first = whoami()
    print("\n2. The same credentials, asked for as on an EC2 instance (IMDSv2):\n")
    if role_by_imds() != first:
        sys.exit("the two endpoints disagree")
    print("\n3. A refresh, as it happens by itself long before the hour is over:")
    imdsd("refresh")
    print("\n4. A new process gets the new credentials:\n")
    if whoami() == first:
        sys.exit("the refresh had no effect")
    imdsd("status")
    print("`imdsd demo` without a command stays up for you to try.")


if __name__ == "__main__":
    main()
