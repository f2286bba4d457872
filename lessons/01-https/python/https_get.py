"""Ask a JSON API over HTTPS, as the guide does it in Python, made fit for use.

    python https_get.py URL --ca ca.pem [--resolve NAME] [--token TOKEN]

What `requests` does by default, and what is added here:

- the certificate and the name are checked; `verify` names the CA to trust, in place of the bundle
  of public CAs that comes with certifi
- no timeout is set by default: `timeout=(connect, read)`, and none for the whole request
- redirects are followed by default, also to http: `allow_redirects=False`
- a proxy and a ~/.netrc are taken from the environment by default: `trust_env = False`
"""

import argparse
import sys
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

MAX_BODY = 64 * 1024


class Resolved(HTTPAdapter):
    """Leads a name to 127.0.0.1 while its certificate is still checked for that name."""

    def __init__(self, name):
        self.name = name
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        kwargs["server_hostname"] = self.name
        kwargs["assert_hostname"] = self.name
        super().init_poolmanager(*args, **kwargs)


# ANCHOR: get
def get(url, ca, token=None, resolve=None):
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if resolve:
            port = urlsplit(url).port
            headers["Host"] = f"{resolve}:{port}"
            session.mount("https://", Resolved(resolve))
        answer = session.get(
            url, headers=headers, timeout=(5, 10), allow_redirects=False, stream=True
        )
        answer.raise_for_status()
        if answer.is_redirect:
            raise ValueError(f"expected an answer, got a redirect to {answer.headers['Location']}")
        body = answer.raw.read(MAX_BODY + 1, decode_content=True)
        if len(body) > MAX_BODY:
            raise ValueError(f"expected a body of at most {MAX_BODY} bytes, came more")
        return body.decode()
# ANCHOR_END: get


def main():
    parser = argparse.ArgumentParser(description="GET over HTTPS with requests")
    parser.add_argument("url")
    parser.add_argument("--ca", required=True, help="PEM file of the CA to trust")
    parser.add_argument("--resolve", metavar="NAME", help="the name to check, if the URL holds an address")
    parser.add_argument("--token", help="a bearer token")
    arguments = parser.parse_args()
    try:
        print(get(arguments.url, arguments.ca, arguments.token, arguments.resolve))
    except requests.exceptions.SSLError as error:
        print(f"SSLError: {error}", file=sys.stderr)
        return 1
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
