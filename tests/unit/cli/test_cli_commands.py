"""Commands as a whole: what they send, what they print, and their exit codes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cli_objects import (
    BLUE,
    NEW,
    NEW_REVISION,
    OLD,
    OLD_REVISION,
    SERVERS,
    WHOLE,
    condition,
    cutover,
    engine,
    pod,
    record,
    release,
)
from kubectl_program import KubectlProgram
from rtx_cli.exits import ExitCode
from rtx_cli.main import run
from rtx_operator.api.enums import Colour, ConditionType, CutoverPhase, Reason
from rtx_operator.api.names import REFRESH, RETRY

FORBIDDEN = (
    'Error from server (Forbidden): {kind} is forbidden: User "eve" cannot list resource "{kind}" in API group "" in '
    'the namespace "trading"\n'
)
UNREACHABLE = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n"
ASKED = engine(spec={"version": NEW}, generation=4, seen=3)
Capture = pytest.CaptureFixture[str]


def moving(phase: CutoverPhase, **more: object) -> dict[str, object]:
    return engine(spec={"version": NEW}, generation=4, cutover=cutover(phase, **more))


def test_upgrade_is_followed_until_it_has_succeeded(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given an operator that carries the upgrade out
    kubectl.answer("patch", ASKED)
    kubectl.events(
        ASKED,
        moving(CutoverPhase.MIGRATING, message="the Job runs"),
        moving(CutoverPhase.MONITORING),
        moving(CutoverPhase.SUCCEEDED, seconds={"Migrating": 8.4, "Monitoring": 10.0}, judged="Traffic"),
    )

    # when it is asked for, then its phases and its end are printed
    assert run(["upgrade", "rtx", NEW, "-n", "trading"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "spec.version is 1.1.0 now; 1.0.0 runs" in printed
    assert printed.index("Migrating") < printed.index("Monitoring") < printed.index("version 1.1.0 runs after 18.4 s")
    (patch,) = (call for call in kubectl.calls if call.startswith("patch"))
    assert '--patch={"spec": {"version": "1.1.0"}}' in patch
    assert "--namespace=trading" in patch


def test_upgrade_that_is_rolled_back_has_its_code_and_reason(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.answer("patch", ASKED)
    kubectl.events(
        ASKED,
        moving(CutoverPhase.ROLLING_BACK, reason="TooSlow", message="p99 was 900 ms"),
        moving(CutoverPhase.ROLLED_BACK, reason="TooSlow", message="p99 was 900 ms"),
    )
    assert run(["upgrade", "rtx", NEW]) == ExitCode.ROLLED_BACK
    assert "1.1.0 was rolled back, 1.0.0 runs: p99 was 900 ms (TooSlow)" in capsys.readouterr().err


def test_no_wait_returns_after_the_change(kubectl: KubectlProgram) -> None:
    kubectl.answer("patch", ASKED)
    assert run(["upgrade", "rtx", NEW, "--no-wait"]) == ExitCode.OK
    assert not [call for call in kubectl.calls if "--watch" in call]


def test_timeout_ends_the_following_only(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given a cutover that does not end
    kubectl.answer("patch", ASKED)
    kubectl.events(ASKED, moving(CutoverPhase.MONITORING))
    kubectl.stays("watch")

    # when the time is over, then the code says so, and the sentence where to look
    assert run(["upgrade", "rtx", NEW, "--timeout", "1s"]) == ExitCode.TIMED_OUT
    assert "it goes on, see `kubectl tradingengine status rtx -n trading`" in capsys.readouterr().err


def test_api_server_that_is_away_is_asked_again(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given an API server that restarts during an upgrade
    kubectl.answer("patch", ASKED)
    kubectl.fails_once("watch", UNREACHABLE)
    kubectl.events(moving(CutoverPhase.SUCCEEDED))

    # then that is said, and the upgrade is followed to its end
    assert run(["upgrade", "rtx", NEW]) == ExitCode.OK
    assert "does not answer" in capsys.readouterr().err


def test_watch_that_the_server_ends_is_begun_anew(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given watches that end at once, and a cutover that goes on
    kubectl.answer("patch", ASKED)
    kubectl.events(moving(CutoverPhase.MONITORING))

    # then the time still ends it, after a pause between the watches
    assert run(["upgrade", "rtx", NEW, "--timeout", "3s"]) == ExitCode.TIMED_OUT
    assert len([call for call in kubectl.calls if "--watch" in call]) <= 3


def test_right_that_is_missing_while_following_ends_it(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given a person who may change and not watch: asking again would never end
    kubectl.answer("patch", ASKED)
    kubectl.fails("watch", FORBIDDEN.format(kind="tradingengines"))
    assert run(["upgrade", "rtx", NEW]) == ExitCode.ERROR
    assert "ask for the role view" in capsys.readouterr().err


def test_paused_engine_is_not_changed(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.answer("engine", engine(spec={"paused": True}))
    assert run(["upgrade", "rtx", NEW]) == ExitCode.STALLED
    assert "`resume` it" in capsys.readouterr().err
    assert not [call for call in kubectl.calls if call.startswith("patch")]


def test_version_that_the_api_server_refuses_is_one_sentence(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.fails("patch", 'The TradingEngine "rtx" is invalid: spec.version: Invalid value: "v1": must be semantic\n')
    assert run(["upgrade", "rtx", "v1"]) == ExitCode.ERROR
    assert capsys.readouterr().err == (
        'error: The TradingEngine "rtx" is invalid: spec.version: Invalid value: "v1": must be semantic\n'
    )


def test_engine_of_another_tool_is_changed_with_a_warning(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given an engine that Argo CD applies
    manifest = engine()
    manifest["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "x"}
    kubectl.answer("engine", manifest)
    kubectl.answer("patch", ASKED)

    assert run(["upgrade", "rtx", NEW, "--no-wait"]) == ExitCode.OK
    assert "Argo CD applies rtx, and may set spec back" in capsys.readouterr().err


def test_only_engine_of_a_namespace_needs_no_name(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.items("engine", engine())
    kubectl.answer("patch", engine(spec={"paused": True}))
    assert run(["pause"]) == ExitCode.OK
    assert "rtx is paused" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "sentence"), [(0, "has no TradingEngine"), (2, "name one of rtx, rtx")])
def test_without_a_name_there_must_be_one(kubectl: KubectlProgram, capsys: Capture, count: int, sentence: str) -> None:
    kubectl.items("engine", *[engine()] * count)
    assert run(["pause", "-n", "trading"]) == ExitCode.ERROR
    assert sentence in capsys.readouterr().err


def test_pause_amid_a_switch_warns(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.answer("engine", moving(CutoverPhase.SWITCHING))
    kubectl.answer("patch", moving(CutoverPhase.SWITCHING))
    assert run(["pause", "rtx"]) == ExitCode.OK
    assert "both colours must stay up" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "paused", "word"), [("pause", True, "paused"), ("resume", False, "not paused")])
def test_pause_and_resume_are_idempotent(
    kubectl: KubectlProgram, capsys: Capture, command: str, paused: bool, word: str
) -> None:
    kubectl.answer("engine", engine(spec={"paused": paused}))
    assert run([command, "rtx"]) == ExitCode.OK
    assert f"rtx is {word} already" in capsys.readouterr().out
    assert not [call for call in kubectl.calls if call.startswith("patch")]


def test_rollback_gives_spec_the_recorded_fields(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given version 1.1.0, with 1.0.0 kept
    image = {"repository": "localhost/rtx-engine"}
    kubectl.answer(
        "engine",
        engine(
            spec={"version": NEW, "podLabels": {"a": "b"}},
            active={**release(Colour.GREEN, NEW, NEW_REVISION), "configHash": "c"},
            previous={**release(), "retireAfter": "2026-11-27T13:00:00Z"},
        ),
    )
    kubectl.items("records", record(OLD_REVISION, Colour.BLUE, "2026-11-26T10:00:00Z", version=OLD, image=image))
    kubectl.answer("patch", engine(generation=4, seen=3))
    back = {**cutover(CutoverPhase.SUCCEEDED), "to": release()}
    kubectl.events(engine(generation=4, cutover=back))

    # when it is rolled back
    assert run(["rollback", "rtx"]) == ExitCode.OK

    # then spec asks for all that shaped the pods of 1.0.0
    (patch,) = (call for call in kubectl.calls if call.startswith("patch"))
    sent = json.loads(patch.partition("--patch=")[2].partition(" -o json")[0])
    assert sent["spec"] == {"version": OLD, "image": {"pullPolicy": None}, "podLabels": None}
    assert "changed spec.version, spec.image, spec.podLabels" in capsys.readouterr().out


def test_rollback_amid_a_cutover_names_abort(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.answer("engine", moving(CutoverPhase.TESTING))
    assert run(["rollback", "rtx"]) == ExitCode.ERROR
    assert "`abort` takes it back" in capsys.readouterr().err


def test_abort_takes_the_change_back(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given a cutover to 1.1.0 under way
    kubectl.answer("engine", moving(CutoverPhase.TESTING))
    image = {"repository": "localhost/rtx-engine"}
    kubectl.items("records", record(OLD_REVISION, Colour.BLUE, "2026-11-26T10:00:00Z", version=OLD, image=image))
    kubectl.answer("patch", engine(generation=5))
    kubectl.events(engine(generation=5, cutover=cutover(CutoverPhase.ROLLED_BACK, reason="Superseded", message="m")))

    assert run(["abort", "rtx"]) == ExitCode.OK
    assert "aborted: version 1.0.0 runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("phase", "sentence"),
    [(CutoverPhase.SUCCEEDED, "has no cutover to abort"), (CutoverPhase.PROMOTING, "has been judged")],
)
def test_abort_without_a_cutover_that_can_go_back_is_refused(
    kubectl: KubectlProgram, capsys: Capture, phase: CutoverPhase, sentence: str
) -> None:
    kubectl.answer("engine", moving(phase))
    assert run(["abort", "rtx"]) == ExitCode.ERROR
    assert sentence in capsys.readouterr().err


def test_retry_gives_its_annotation_a_new_value(kubectl: KubectlProgram) -> None:
    rejected = {"revision": NEW_REVISION, "version": NEW, "reason": "TooSlow", "message": "slow"}
    before = moving(CutoverPhase.ROLLED_BACK)
    before["status"] = {**engine(rejected=rejected)["status"], "cutover": cutover(CutoverPhase.ROLLED_BACK)}
    kubectl.answer("engine", before)
    kubectl.answer("patch", before)
    kubectl.events(before, moving(CutoverPhase.SUCCEEDED, identity="cutover-2"))

    assert run(["retry", "rtx"]) == ExitCode.OK
    assert any(RETRY in call for call in kubectl.calls)


def test_refresh_gives_its_annotation_a_new_value(kubectl: KubectlProgram) -> None:
    kubectl.answer("patch", engine())
    assert run(["refresh", "rtx"]) == ExitCode.OK
    assert any(REFRESH in call for call in kubectl.calls)


def test_wait_has_a_code_for_each_end(kubectl: KubectlProgram) -> None:
    stalled = engine(condition(ConditionType.STALLED, True, Reason.NODE_LOST, "a node is lost"))
    kubectl.events(engine())
    assert run(["wait", "rtx", "--for", "ready"]) == ExitCode.OK
    kubectl.events(stalled)
    assert run(["wait", "rtx"]) == ExitCode.STALLED
    kubectl.stays("watch")
    assert run(["wait", "rtx", "--through-stalled", "--timeout", "1s"]) == ExitCode.TIMED_OUT


def test_status_shows_what_may_be_read(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given a person who may not list claims: kubectl prints the rest, and fails
    kubectl.items("children", *BLUE)
    kubectl.fails("children", FORBIDDEN.format(kind="persistentvolumeclaims"))

    assert run(["status", "rtx"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "rtx-engine-blue-5d4-aa" in printed
    assert "you may not list persistentvolumeclaims" in printed


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_status_is_data_for_programs(kubectl: KubectlProgram, capsys: Capture, form: str) -> None:
    yaml = pytest.importorskip("yaml")
    kubectl.items("children", *WHOLE)
    assert run(["status", "rtx", "-o", form]) == ExitCode.OK
    document = yaml.safe_load(capsys.readouterr().out)  # JSON is YAML
    assert document["engine"]["active"]["version"] == OLD
    assert {one["name"] for one in document["pods"]} >= {"rtx-postgres-0", "rtx-engine-blue-5d4-aa"}


def test_output_for_a_program_has_no_colours(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.items("children", *WHOLE)
    run(["status", "rtx"])
    assert "\x1b" not in capsys.readouterr().out


def test_missing_engine_and_missing_kubectl_are_one_sentence(
    kubectl: KubectlProgram, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl.fails("engine", 'Error from server (NotFound): tradingengines.rtx-trading.com "x" not found\n')
    assert run(["history", "x"]) == ExitCode.ERROR
    assert capsys.readouterr().err == 'error: tradingengines.rtx-trading.com "x" not found\n'
    monkeypatch.setenv("KUBECTL", "/nowhere/kubectl")
    assert run(["history", "x"]) == ExitCode.ERROR
    assert "install kubectl, or name yours in the variable KUBECTL" in capsys.readouterr().err


def test_other_program_than_kubectl_is_one_sentence(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.answer("engine", "Hello, I am no kubectl")
    assert run(["history", "rtx"]) == ExitCode.ERROR
    assert "answered with no JSON" in capsys.readouterr().err


def test_preferences_for_kubectl_do_not_reach_the_plugin(kubectl: KubectlProgram) -> None:
    run(["history", "rtx"])
    assert (kubectl.folder / "kuberc").read_text() == "off\n"


def test_flags_of_kubectl_are_handed_on(kubectl: KubectlProgram) -> None:
    run(["--context", "prod", "history", "rtx", "--as=eve", "-n", "trading"])
    assert {"--context=prod", "--as=eve", "--namespace=trading"} <= set(kubectl.calls[0].split())


@pytest.mark.parametrize(("given", "limit"), [([], "30s"), (["--request-timeout=5s"], "5s")])
def test_request_ends_in_time_but_a_watch_goes_on(kubectl: KubectlProgram, given: list[str], limit: str) -> None:
    kubectl.answer("patch", ASKED)
    kubectl.events(ASKED, moving(CutoverPhase.SUCCEEDED, seconds={}, judged="Traffic"))
    run(["upgrade", "rtx", NEW, *given])
    limits = [[word for word in call.split() if word.startswith("--request-timeout")] for call in kubectl.calls]
    watches = ["--watch" in call for call in kubectl.calls]
    assert any(watches)
    assert not all(watches)
    once, always = [f"--request-timeout={limit}"], [f"--request-timeout={limit}"] if given else []
    assert limits == [always if is_watch else once for is_watch in watches]


def test_history_without_the_right_to_read_revisions_shows_cutovers(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.fails("records", FORBIDDEN.format(kind="controllerrevisions"))
    assert run(["history", "rtx"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert "no cutover is over yet" in printed.out
    assert "revisions are not shown" in printed.err


def test_doctor_finds_nothing_or_has_its_code(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given a healthy engine
    kubectl.items("children", *WHOLE)
    kubectl.items("events")
    kubectl.items("operators", {"metadata": {"name": "o", "namespace": "s"}, "status": {"readyReplicas": 2}})
    assert run(["doctor", "rtx"]) == ExitCode.OK
    assert capsys.readouterr().out == "trading/rtx: healthy\n"

    # when its live Service is gone, then that is found
    kubectl.items("children", *BLUE, *SERVERS)
    assert run(["doctor", "rtx"]) == ExitCode.FOUND
    assert "the live Service is gone" in capsys.readouterr().out


def test_doctor_works_with_rights_in_one_namespace(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.items("children", *WHOLE)
    kubectl.items("events")
    kubectl.fails("operators", FORBIDDEN.format(kind="deployments"))
    assert run(["doctor", "rtx"]) == ExitCode.OK
    assert "you may not read it: the operator's Deployment" in capsys.readouterr().out


def test_diff_of_a_version_changes_nothing(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.answer("patch", engine(spec={"version": NEW}))
    kubectl.items("records")
    assert run(["diff", "rtx", NEW, "--exit-code"]) == ExitCode.FOUND
    assert "spec.version" in capsys.readouterr().out
    assert all("--dry-run=server" in call for call in kubectl.calls if call.startswith("patch"))


def test_diff_of_a_file_sends_its_engine_as_a_dry_run(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given a file with a namespace and an engine
    file = kubectl.folder / "engine.yaml"
    file.write_text(
        "{apiVersion: v1, kind: Namespace, metadata: {name: trading}}\n---\n"
        "{apiVersion: rtx-trading.com/v1alpha1, kind: TradingEngine, metadata: {name: rtx, namespace: trading}}"
    )
    kubectl.answer("patch", engine(spec={"scaling": {"maxReplicas": 9}}))
    kubectl.items("records")

    assert run(["diff", "-f", str(file)]) == ExitCode.OK
    assert "spec.scaling.maxReplicas" in capsys.readouterr().out
    (call,) = (one for one in kubectl.calls if one.startswith("apply"))
    assert "--dry-run=server" in call


def test_diff_of_a_new_engine_is_an_installation(kubectl: KubectlProgram, capsys: Capture) -> None:
    file = kubectl.folder / "engine.yaml"
    file.write_text("{apiVersion: rtx-trading.com/v1alpha1, kind: TradingEngine, metadata: {name: fx}}")
    kubectl.fails("engine", 'Error from server (NotFound): tradingengines.rtx-trading.com "fx" not found\n')
    kubectl.answer("patch", engine())
    assert run(["diff", "-f", str(file), "-n", "trading"]) == ExitCode.OK
    assert "a new engine is installed, version 1.0.0" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "sentence"), [("a: [", "is no YAML"), ("a: 1", "has 0 TradingEngines")])
def test_diff_of_a_file_without_an_engine_is_one_sentence(
    kubectl: KubectlProgram, capsys: Capture, text: str, sentence: str
) -> None:
    file = kubectl.folder / "other.yaml"
    file.write_text(text)
    assert run(["diff", "-f", str(file)]) == ExitCode.ERROR
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_logs_have_their_pod_before_each_line(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.items("pods", *BLUE[1:], pod("starting", colour=Colour.BLUE, containerStatuses=[]))
    kubectl.answer("logs-rtx-engine-blue-5d4-aa", '{"event": "started"}\n')
    kubectl.fails("logs-rtx-engine-blue-5d4-bbb", "error: a container in pod bbb is waiting to start\n")
    assert run(["logs", "rtx", "--colour", "blue", "--since", "10m"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert printed.out == 'rtx-engine-blue-5d4-aa {"event": "started"}\n'
    assert "rtx-engine-blue-5d4-bbb: a container in pod bbb" in printed.err
    (call,) = (one for one in kubectl.calls if one.startswith("logs") and "5d4-aa" in one)
    assert "--since=10m" in call


@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_logs_end_when_nobody_reads_them(kubectl: KubectlProgram, follow: tuple[str, ...]) -> None:
    # given a log that fills any pipe, and a reader who leaves after a line, as `head` does
    kubectl.items("pods", *BLUE[1:2])
    kubectl.answer("logs-rtx-engine-blue-5d4-aa", "a line\n" * 100_000)
    plugin = (sys.executable, "-c", "from rtx_cli.main import main; main()", "logs", "rtx", *follow)
    with subprocess.Popen(plugin, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"rtx-engine-blue-5d4-aa a line\n"
        process.stdout.close()

        # then the plugin ends, and complains of nothing
        assert process.wait(120) == ExitCode.OK
        assert process.stderr.read() == b""


def test_migrations_are_asked_of_a_pod(kubectl: KubectlProgram, capsys: Capture) -> None:
    # given an engine pod that tells what is applied, and a Job
    row = {"version": 1, "half": "expand", "name": "trading", "state": "applied", "applied_at": "2026-11-26T10:00:00Z"}
    template = {"spec": {"containers": [{"args": ["migrate", "up", "--half", "expand"]}]}}
    job = {
        "metadata": {"name": "rtx-migrate-1", "labels": {"app.kubernetes.io/version": OLD}},
        "spec": {"template": template},
        "status": {
            "conditions": [{"type": "Complete", "status": "True"}],
            "startTime": "2026-11-26T10:00:00Z",
            "completionTime": "2026-11-26T10:00:07Z",
        },
    }
    kubectl.items("pods", *BLUE[1:])
    kubectl.items("jobs", job)
    kubectl.answer("exec", [row])

    assert run(["migrations", "rtx"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "0001        trading   expand   applied   2026-11-26 10:00:00Z" in printed
    assert "up --half expand" in printed


def test_migrations_without_the_right_to_exec_show_the_jobs(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.items("pods", *BLUE[1:])
    kubectl.items("jobs")
    kubectl.fails("exec", 'Error from server (Forbidden): pods "x" is forbidden: User "eve" cannot create resource\n')
    assert run(["migrations", "rtx"]) == ExitCode.ERROR
    assert "what is applied is not known" in capsys.readouterr().err


class Answers(BaseHTTPRequestHandler):
    """An engine pod: everything but /broken is well."""

    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("path", "code"), [("/health", ExitCode.OK), ("/broken", ExitCode.FAILED)])
def test_smoke_tests_ask_each_pod(
    kubectl: KubectlProgram, capsys: Capture, port: int, path: str, code: ExitCode
) -> None:
    # given pods whose port kubectl forwards
    kubectl.answer("engine", engine(spec={"rollout": {"smoke": [{"name": "one", "path": path}]}}))
    kubectl.items("pods", *BLUE[1:])
    kubectl.answer("port-forward", f"Forwarding from 127.0.0.1:{port} -> 7999\n")
    kubectl.stays("port-forward")

    assert run(["smoke-test", "rtx"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(("passed" if code is ExitCode.OK else "status 500") in line for line in lines[1:])


def test_smoke_test_that_reaches_no_pod_has_failed(kubectl: KubectlProgram, capsys: Capture) -> None:
    kubectl.items("pods", *BLUE[1:])
    kubectl.fails("port-forward", "error: unable to forward port because pod is not running\n")
    assert run(["smoke-test", "rtx"]) == ExitCode.FAILED
    assert "pod is not running" in capsys.readouterr().out
