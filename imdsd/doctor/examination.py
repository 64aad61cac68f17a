"""The walk along the whole chain: each step after the one it needs, none that ends the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.daemon.boot import define_roles
from imdsd.doctor.chain.configuration import NO_ROLE, read_configuration
from imdsd.doctor.chain.exchange import exchange, look_at_sts
from imdsd.doctor.chain.signature import can_verify, verify
from imdsd.doctor.chain.token import mint
from imdsd.doctor.finding import Diagnosis, Finding, Level, Step, skip
from imdsd.doctor.machine.editors import judge_editors
from imdsd.doctor.machine.files import is_there, judge_files
from imdsd.doctor.machine.proxies import judge_proxies
from imdsd.doctor.machine.running import meet, name_of
from imdsd.doctor.machine.systemd import judge_units
from imdsd.doctor.sdks.judging import Target, judge_sdks
from imdsd.errors import UsageError
from imdsd.host.daemon_record import trusted_by
from imdsd.host.runtime_directory import candidates
from imdsd.sts import regional_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from imdsd.doctor.chain.configuration import Subject
    from imdsd.doctor.finding import Surroundings
    from imdsd.doctor.machine.running import Encounter
    from imdsd.secret import Secret
    from imdsd.tokens.claims import Claims

CRASHED = "this check itself failed"
_USUAL_LISTEN = (("127.0.0.1", 9254),)
# Who gives these wants this very way walked, whatever daemon runs beside.
_OF_THE_WAY = ("role_arn", "token_command", "token_file")
# Editors forward what a program of the user's own may listen on.
_UNPRIVILEGED = 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What to look at; `flags` are those of the configuration."""

    flags: Mapping[str, object] = field(default_factory=dict)
    role_name: str | None = None
    verify: bool = False
    offline: bool = False


def crashed(step: Step, error: Exception) -> Finding:
    """Return what is said of a check that broke; only the kind of error, which holds no secret."""
    diagnosis = Diagnosis(
        step,
        Level.FAILURE,
        "crashed",
        "the check itself failed",
        "report it, with what `imdsd doctor --bundle FILE` writes",
    )
    return diagnosis(f"{CRASHED} ({type(error).__name__})", error=type(error).__name__)


@dataclass(frozen=True, slots=True)
class Fit:
    """A token whose claims STS would take."""

    token: Secret
    claims: Claims


class Examination:
    """One walk; what a step learns is what later ones need."""

    def __init__(self, order: Order, around: Surroundings) -> None:
        self._order = order
        self._around = around
        self.subject: Subject | None = None
        self.encounter: Encounter | None = None
        self._fit: Fit | None = None

    def walk(self) -> Iterator[Finding]:
        """Yield what is found, as it is found; raises UsageError for a role that is not there."""
        for step, look in self._steps():
            yield from self._guarded(step, look)

    def _steps(self) -> Iterable[tuple[Step, Callable[[], Iterable[Finding]]]]:
        return (
            (Step.CONFIGURATION, self._configuration),
            (Step.TOKEN, self._mint),
            (Step.SIGNATURE, self._verify),
            (Step.STS, self._sts),
            (Step.DAEMON, self._daemon),
            (Step.SDKS, self._sdks),
            (Step.PROXIES, self._proxies),
            (Step.EDITORS, self._editors),
            (Step.FILES, self._files),
            (Step.SYSTEMD, self._systemd),
        )

    def _guarded(self, step: Step, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
        try:
            yield from look()
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001  # no check may keep the others from being made
            yield crashed(step, error)

    def _configuration(self) -> Iterable[Finding]:
        reading = read_configuration(
            self._order.flags, self._around.environ, role_name=self._order.role_name
        )
        self.subject = reading.subject
        if self._is_elsewhere():
            return [each for each in reading.findings if each.code != NO_ROLE.code]
        return reading.findings

    def _mint(self) -> Iterator[Finding]:
        subject, why = self.subject, self._not_minting()
        if subject is None or why:
            yield skip(Step.TOKEN, why)
        else:
            minted = mint(
                subject.token,
                self._around.environ,
                ca_bundle=subject.config.ca_bundle,
                clock=self._around.clock,
            )
            if minted.token is not None and minted.claims is not None:
                self._fit = Fit(minted.token, minted.claims)
            yield from minted.findings
            if any(each.step is Step.CLAIMS for each in minted.findings):
                return
        yield skip(Step.CLAIMS, "no token was minted")

    def _verify(self) -> Iterator[Finding]:
        subject, fit, why = self.subject, self._fit, self._not_exchanging()
        if not why and not self._order.verify:
            why = "not asked for (--verify)"
        if subject is None or fit is None or why:
            yield skip(Step.SIGNATURE, why)
            return
        yield from verify(
            fit.token,
            fit.claims,
            self._around.environ,
            ca_bundle=subject.config.ca_bundle,
            installed=can_verify(),
        )

    def _sts(self) -> Iterator[Finding]:
        subject, why = self.subject, self._not_minting()
        if subject is None or why:
            yield skip(Step.STS, why)
            return
        role, config = subject.role, subject.config
        if role is None:
            yield skip(Step.STS, "no role says which STS to ask for what")
            return
        url = role.sts_endpoint_url or regional_endpoint(role.region)
        environ, clock = self._around.environ, self._around.clock
        found = tuple(look_at_sts(url, environ, ca_bundle=config.ca_bundle, clock=clock))
        yield from found
        if any(each.level is Level.FAILURE for each in found):
            yield skip(Step.STS, "no exchange: STS cannot be reached")
        elif self._fit is None:
            yield skip(Step.STS, f"no exchange: {self._not_exchanging()}")
        else:
            defined = define_roles(config, environ=environ)
            definition = next(each for each in defined if each.name == role.name)
            yield from exchange(definition, self._fit.token, self._fit.claims, clock=clock)

    def _not_minting(self) -> str:
        """Say why no token is minted; nothing where one is."""
        if self.subject is None:
            return "the configuration cannot be used"
        if self._order.offline:
            return "not asked for (--offline)"
        return self._is_elsewhere()

    def _is_elsewhere(self) -> str:
        """Say why the daemon that runs does not go this shell's way; nothing where it may."""
        daemon = self._meet().daemon
        if daemon is None or any(self._order.flags.get(each) for each in _OF_THE_WAY):
            return ""
        if daemon.record.demo:
            return "the daemon is a demo, with an issuer and an STS of its own"
        owner = daemon.record.uid
        if owner != self._around.uid:
            whose = name_of(owner)
            return f"the daemon of {whose} does it by itself (see its way as {whose})"
        if self.subject is not None and self.subject.role is None:
            return "the daemon does it by itself, with a role that this shell does not know"
        return ""

    def _not_exchanging(self) -> str:
        return self._not_minting() or ("" if self._fit else "there is no token that is fit for STS")

    def _daemon(self) -> Iterable[Finding]:
        return self._meet().findings

    def _meet(self) -> Encounter:
        if self.encounter is None:
            self.encounter = meet(self._around, listen=self._listen())
        return self.encounter

    def _listen(self) -> tuple[tuple[str, int], ...]:
        if self.subject is None:
            return _USUAL_LISTEN
        return tuple((each.host, each.port) for each in self.subject.config.listen)

    def _target(self) -> Target:
        """Return where the daemon is, or would be."""
        met = self.encounter
        if met is not None and met.daemon is not None:
            roles = met.status.roles if met.status else ()
            names = (name for role in roles for name in (role.name, *role.aliases))
            return Target(met.addresses, met.daemon, frozenset(names))
        return Target(frozenset(self._listen()), None)

    def _sdks(self) -> Iterable[Finding]:
        return judge_sdks(self._around, self._target())

    def _proxies(self) -> Iterable[Finding]:
        hosts = sorted(host for host, _ in self._target().addresses)
        return judge_proxies(self._around.environ, hosts)

    def _editors(self) -> Iterable[Finding]:
        ports = sorted(port for host, port in self._target().addresses if port >= _UNPRIVILEGED)
        port = ports[0] if ports else _USUAL_LISTEN[0][1]
        around = self._around
        return judge_editors(around.environ, folder=around.folder, port=port)

    def _files(self) -> Iterable[Finding]:
        around, daemon, subject = self._around, self._target().daemon, self.subject
        places = candidates(around.environ, uid=around.uid, root=around.root)
        directory = next((each for each in places if is_there(each)), None)
        if daemon is not None:
            directory = daemon.bearer_file.parent
        source = Path(subject.config.source) if subject is not None else None
        return judge_files(
            directory,
            trusts=trusted_by(around.uid),
            config=source if source is not None and source.is_absolute() else None,
            token=subject.token.file if subject is not None else None,
        )

    def _systemd(self) -> Iterable[Finding]:
        return judge_units(self._around, user=name_of(self._around.uid))
