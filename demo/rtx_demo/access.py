"""Shell commands that reach a running engine, to be pasted. Pure."""

from pathlib import Path

PORT = 7999
ACCOUNT = "me"
PASSWORD = "correct-horse"  # noqa: S105  of an account on a throw-away cluster, printed for its user


def commands(*, kubectl: Path, kubeconfig: Path, name: str, namespace: str) -> list[str]:
    """The commands in order; each needs those before it. They use curl, kubectl and sed."""
    api = f"http://localhost:{PORT}/api"
    post = "curl --silent --show-error --request POST --header 'Content-Type: application/json'"
    pick = """sed 's/.*"token": *"\\([^"]*\\)".*/\\1/'"""
    return [
        f"export KUBECONFIG={kubeconfig} PATH={kubectl.parent}:$PATH",
        f"kubectl get te --namespace {namespace} --output wide",
        f"kubectl port-forward --namespace {namespace} service/{name}-engine {PORT}:80 >/dev/null &",
        "sleep 2",
        f"admin=$(kubectl get secret {name}-credentials --namespace {namespace} "
        "--output 'jsonpath={.data.ADMIN_PASSWORD}' | base64 --decode)",
        f"""token=$({post} {api}/login --data '{{"username": "admin", "password": "'"$admin"'"}}' | {pick})""",
        f"""{post} {api}/admin/accounts --header "Authorization: Bearer $token" """
        f"""--data '{{"username": "{ACCOUNT}", "password": "{PASSWORD}", "currency": "USD", """
        """"balance": "10000.00", "leverage": 100}'""",
        f"""token=$({post} {api}/login """
        f"""--data '{{"username": "{ACCOUNT}", "password": "{PASSWORD}"}}' | {pick})""",
        f"""{post} {api}/orders/market --header "Authorization: Bearer $token" """
        """--data '{"client_order_id": "first", "symbol": "EURUSD", "side": "buy", "quantity": "0.10"}'""",
        f"""curl --silent --show-error {api}/positions --header "Authorization: Bearer $token" """.rstrip(),
    ]
