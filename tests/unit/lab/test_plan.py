"""What a lab consists of: everything has a name and an address of its own, and every connection leads somewhere."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tabard.brokers import topology
from tabard.errors import UsageError
from tabard.home import Home
from tabard.names import check_node, check_zone
from tabard.ops.cli import lab_up
from tabard.ops.lab import homes, places, ssh
from tabard.ops.lab.plan import KINDS, ZONES, Lab, Loop, planned, planned_bare
from tabard.settings import Settings, examine

LAB: Final = planned()
_PUBLIC: Final = "AAAAC3NzaC1lZDI1NTE5AAAAIPUqm+9Hy4aIlDqdoCRb4ikZ/GqLyRQSONDs0Jx"
"""The beginning of a key; the rest makes each its own."""
LOOP: Final = Loop("127.77", "/somewhere/disks", 9000, "me")
KEYS: Final = {
    host.name: ssh.Keys(
        "private",
        f"ssh-ed25519 {_PUBLIC}h{number:02}rS x",
        "private",
        f"ssh-ed25519 {_PUBLIC}t{number:02}rS x",
    )
    for number, host in enumerate(LAB.hosts, 10)
}


def test_three_zones_and_a_dozen_nodes() -> None:
    """As many as the pages say, with names that Tabard takes."""
    assert len(LAB.hosts) == 12
    assert {check_zone(host.zone) for host in LAB.hosts} == set(ZONES)
    assert len({check_node(host.name) for host in LAB.hosts}) == 12
    assert sum("recorder" in host.roles for host in LAB.hosts) == 1
    assert all(host.roles[-1] == "agent" for host in LAB.hosts)
    assert [host.name for host in LAB.hosts if host.zone == "hq/dmz" and "broker" in host.roles] == [
        "dmz1",
        "dmz2",
    ]


def test_nothing_is_named_twice() -> None:
    """Addresses, ports, hardware addresses, and interfaces within a host; the kernel takes 15 letters."""
    ends = [end for segment in LAB.segments for end in segment.ends]
    for values in (
        [end.address for end in ends],
        [end.mac for end in ends],
        [end.port for end in ends],
        [(end.host, end.device) for end in ends],
        [segment.bridge for segment in LAB.segments],
        [name for segment in LAB.segments if segment.link for name in segment.names],
    ):
        assert len(set(values)) == len(values)
    assert all(len(name) <= 15 for end in ends for name in (end.port, end.device))


def test_zones_are_joined_by_links_alone() -> None:
    """The network of a zone has its own hosts only, and a link joins brokers of neighbouring zones."""
    for segment in LAB.segments:
        hosts = [LAB.host(end.host) for end in segment.ends]
        if segment.link:
            inner, outer = sorted((host.zone for host in hosts), key=len)
            assert outer.rpartition("/")[0] == inner
            assert all("broker" in host.roles for host in hosts)
        else:
            assert {host.zone for host in hosts} == {segment.name}


def test_nothing_of_the_dmz_opens_a_connection_to_another_zone() -> None:
    """The zone hq dials out to it, the plant dials up to it."""
    assert {tunnel.host for tunnel in LAB.tunnels} == {"hq1", "plant1"}
    assert {tunnel.peer for tunnel in LAB.tunnels} == {"dmz1", "dmz2"}


def _settings(folder: Path, lab: Lab = LAB) -> Iterator[tuple[str, Settings, Home]]:
    for host in lab.hosts:
        home = Home(folder / host.name)
        home.path.mkdir()
        home.settings_file.write_text(homes.settings(lab, host, KEYS))
        examination = examine(home, env={})
        assert [str(finding.error) for finding in examination.findings if not finding.warning] == []
        assert examination.settings is not None
        yield host.name, examination.settings, home


@pytest.mark.parametrize("loop", [None, LOOP], ids=["namespaces", "loopback"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_connection_leads_to_a_broker(tmp_path: Path, kind: str, loop: Loop | None) -> None:
    """Settings are valid, and what a role dials is bound by a broker for that lane, directly or at the end of a tunnel."""
    lab = planned(kind, loop)
    bound: dict[str, str] = {}
    dialled: list[tuple[str, str, str]] = []
    for name, settings, home in _settings(tmp_path, lab):
        plans = topology.brokers(settings, home) if settings.brokers else []
        for plan in plans:
            bound |= {
                _of(name, getattr(plan, lane)): lane
                for lane in topology.LANES
                if getattr(plan, lane).startswith("tcp:")
            }
            for parent in plan.parents:
                dialled += [(name, parent.up, "up_in"), (name, parent.down, "down_out")]
            for own, endpoint in plan.dials:
                dialled.append((name, endpoint, {"up_in": "up_out", "down_out": "down_in"}[own]))
        for ends in topology.agent_ends(settings, home):
            if not ends.up.startswith("ipc:"):
                dialled += [(name, ends.up, "up_in"), (name, ends.down, "down_out")]
    through = {
        (tunnel.ends[0], f"tcp://{lab.here(tunnel.ends[0])}:{port}"): _of(
            tunnel.ends[1], f"tcp://{address}:{there}"
        )
        for tunnel in lab.tunnels
        for port, address, there in tunnel.forwards
    }
    if loop is not None:
        for wire in lab.wires():
            host = next(
                each.name
                for each in lab.hosts
                if lab.seen(each.name, "hq1").split(".")[2] == wire.listen[0].split(".")[2]
            )
            if wire.listen[1] != lab.ssh_port:
                through[host, "tcp://{}:{}".format(*wire.listen)] = "tcp://{}:{}".format(*wire.to)
    assert len(dialled) >= 2 * len(LAB.hosts)
    for name, endpoint, lane in dialled:
        assert bound.get(through.get((name, endpoint), _of(name, endpoint))) == lane, (name, endpoint)
    used = {(name, endpoint) for name, endpoint, _ in dialled}
    assert set(through) <= used  # no tunnel carries what nobody dials


def _of(host: str, endpoint: str) -> str:
    """An endpoint by the host it is in, if it is loopback."""
    return f"{host}:{endpoint}" if "127.0.0.1" in endpoint else endpoint


def test_agents_of_a_zone_with_a_pair_know_both(tmp_path: Path) -> None:
    """And half of them prefer the second one."""
    first = {
        name: topology.agent_ends(settings, home)
        for name, settings, home in _settings(tmp_path)
        if settings.str("node.zone") == "hq/dmz"
    }
    assert all(len(ends) == 2 for ends in first.values())
    assert first["web1"] == first["web2"][::-1]


def test_a_key_opens_what_its_tunnel_carries_and_nothing_else() -> None:
    """The line in authorized_keys restricts it to exactly these addresses."""
    lines = ssh.files(LAB, LAB.host("dmz1"), KEYS)["authorized_keys"].splitlines()
    assert lines == [
        f'restrict,port-forwarding,command="/bin/false",{opens},permitlisten="127.0.0.1:1" {ssh.bare(KEYS[host].tunnel_public)} {host}-dmz1'
        for host, opens in (
            ("hq1", 'permitopen="127.0.0.1:7103",permitopen="127.0.0.1:7104"'),
            ("plant1", 'permitopen="10.77.1.11:7101",permitopen="10.77.1.11:7102"'),
        )
    ]
    assert ssh.files(LAB, LAB.host("web1"), KEYS)["authorized_keys"] == ""


def test_host_keys_are_pinned(tmp_path: Path) -> None:
    """Whoever dials knows the key of the peer beforehand; who dials nobody has no key for it."""
    found = {name: settings for name, settings, _ in _settings(tmp_path)}
    pinned = {tunnel.name: tunnel.host_key for tunnel in found["plant1"].tunnels}
    assert pinned == {name: ssh.bare(KEYS[name].host_public) for name in ("dmz1", "dmz2")}
    assert not found["web1"].tunnels
    assert "tunnel_key" not in ssh.files(LAB, LAB.host("web1"), KEYS)


def test_a_key_that_listens_there_opens_that_and_nothing_else() -> None:
    """With -R, what it listens on is also what it asks in a circle."""
    lab = planned("openssh-remote")
    assert [(tunnel.host, tunnel.peer) for tunnel in lab.tunnels] == [
        ("hq1", "dmz1"),
        ("hq1", "dmz2"),
        ("dmz1", "plant1"),
        ("dmz2", "plant1"),
    ]
    ports = (7231, 7232)
    assert ssh.files(lab, lab.host("plant1"), KEYS)["authorized_keys"].splitlines()[1] == (
        'restrict,port-forwarding,command="/bin/false",'
        + ",".join(f'permitopen="127.0.0.1:{port}"' for port in ports)
        + ","
        + ",".join(f'permitlisten="127.0.0.1:{port}"' for port in ports)
        + f" {ssh.bare(KEYS['dmz2'].tunnel_public)} plant1-dmz2"
    )
    assert "AllowTcpForwarding yes\n" in ssh.files(lab, lab.host("plant1"), KEYS)["sshd_config"]
    assert "AllowTcpForwarding local\n" in ssh.files(lab, lab.host("web1"), KEYS)["sshd_config"]


def test_an_ssh_of_somebody_else_is_a_service_of_its_own() -> None:
    """Beside the tunnel that asks through it; it knows the servers by a file."""
    lab = planned("external")
    programs = places.Programs("/usr/sbin/sshd", "/usr/bin/python3", "/usr/bin/ssh")
    names = [each.name for each in places.services(lab, lab.host("plant1"), programs)]
    assert names[1:5] == ["ssh-dmz1", "ssh-dmz2", "tunnel-dmz1", "tunnel-dmz2"]
    known = ssh.files(lab, lab.host("plant1"), KEYS)[ssh.KNOWN].splitlines()
    assert known[0] == f"10.77.130.2 {ssh.bare(KEYS['dmz1'].host_public)}"
    looped = planned("external", LOOP)
    known = ssh.files(looped, looped.host("plant1"), KEYS)[ssh.KNOWN].splitlines()
    assert known[0] == f"[127.77.19.14]:7022 {ssh.bare(KEYS['dmz1'].host_public)}"


def test_the_command_takes_what_can_be_planned() -> None:
    """Every kind of tunnel, and no other."""
    assert tuple(lab_up.BACKENDS) == tuple(KINDS)


@pytest.mark.parametrize("name", ["hq1-dmz1", "dmz1-hq1"])
def test_a_link_is_named_either_way_round(name: str) -> None:
    """One end is enough to cut it."""
    (end,) = LAB.ends(name)
    assert LAB.segment_of(end.port).name == "hq1-dmz1"


def test_a_node_is_all_that_it_is_plugged_in_with() -> None:
    """A broker has a cable to its zone and one to each link."""
    assert [LAB.segment_of(end.port).name for end in LAB.ends("dmz1")] == [
        "hq/dmz",
        "hq1-dmz1",
        "plant1-dmz1",
    ]


def test_a_link_is_mended_at_both_ends() -> None:
    """Also when it was cut with the node at the other one."""
    (link,) = (segment for segment in LAB.segments if segment.name == "hq1-dmz1")
    assert set(LAB.mended("hq1-dmz1")) == set(link.ends)
    assert set(LAB.ends("dmz1")) & set(LAB.mended("hq1-dmz1"))


def test_a_node_is_mended_with_its_links() -> None:
    """Also when one was cut by its own name, which is done at the end of who dials."""
    assert set(LAB.ends("hq1-dmz1")) < set(LAB.mended("dmz1"))
    assert set(LAB.mended("web1")) == set(LAB.ends("web1"))


@pytest.mark.parametrize("name", ["web9", "hq", "hq/dmz", "", "web1-web2", "../web1"])
def test_what_is_neither_link_nor_node_is_refused(name: str) -> None:
    """With the names that there are."""
    with pytest.raises(UsageError, match=r"expected a link .*hq1-dmz1.* or a node .*web1"):
        LAB.ends(name)


def test_files_of_a_host_lie_on_its_own_disk() -> None:
    """Nothing that a host writes at its start is outside of its private directories."""
    programs = places.Programs("/usr/sbin/sshd", "/usr/bin/python3")
    for host in LAB.hosts:
        spec = places.specification(LAB, host, keys=KEYS, programs=programs, keep=(), path="/bin")
        for path in (*spec["files"], *spec["directories"], spec["logs"]):
            assert any(path.startswith(f"{own}/") for own in places.PRIVATE), path
        assert spec["services"][0]["name"] == "sshd"
        assert set(spec["readable"]) <= set(spec["files"])


@pytest.mark.parametrize("kind", KINDS)
def test_without_namespaces_all_lies_below_the_lab_and_on_the_loopback(kind: str) -> None:
    """No two hosts listen at one place, none reads what the machine logs, and whom a host dials over ssh is behind a wire that both cables cut."""
    lab = planned(kind, LOOP)
    for host in lab.hosts:
        assert tomllib.loads(homes.settings(lab, host, KEYS))["intake"]["tail_defaults"] is False
    programs = places.Programs("/usr/sbin/sshd", "/usr/bin/python3")
    for host in lab.hosts:
        spec = places.specification(lab, host, keys=KEYS, programs=programs, keep=(), path="/bin")
        own = f"{LOOP.disks}/{host.name}"
        assert all(
            path == own or path.startswith(f"{own}/") for path in (*spec["files"], *spec["directories"])
        )
        assert spec["environment"]["TABARD_HOME"].startswith(own)
        assert f"ListenAddress {lab.address(host.name)}\n" in ssh.files(lab, host, KEYS)["sshd_config"]
    wires = list(lab.wires())
    assert len({wire.listen for wire in wires}) == len(wires)
    assert not {wire.listen for wire in wires} & {wire.to for wire in wires}
    for tunnel in lab.tunnels:
        (wire,) = (each for each in wires if each.listen == (tunnel.address, lab.ssh_port))
        assert wire.to == (lab.address(tunnel.peer), lab.ssh_port)
        (link,) = (each for each in lab.segments if each.name == tunnel.name)
        assert set(wire.cables) == {end.port for end in link.ends}


def test_what_a_private_directory_would_hide_stays_seen() -> None:
    """Each once, the outermost of several, and never the private directory itself."""
    keep = ["/usr/lib/python3", "/run/venv", "/run/venv/lib", "/tmp", "/tmp/x", "/tmpfoo", "/run/venv2"]
    assert places.kept(keep, places.PRIVATE) == ["/run/venv", "/run/venv2", "/tmp/x"]


def test_a_lab_of_bare_hosts_has_one_that_may_log_in_to_all() -> None:
    """They have ssh and cron and not a word of Tabard; who looks after them has a key that they let in, and knows theirs."""
    lab = planned_bare(3)
    keys = {host.name: KEYS[known] for host, known in zip(lab.hosts, KEYS, strict=False)}
    programs = places.Programs("/sshd", "/python", cron="/cron")
    specs = {
        host.name: places.specification(lab, host, keys=keys, programs=programs, keep=(), path="/bin")
        for host in lab.hosts
    }
    bare = [host.name for host in lab.hosts if host.bare]
    assert bare == ["bare1", "bare2", "bare3"]
    assert lab.zones == ("hq",)
    for name in bare:
        spec = specs[name]
        assert [each["words"][0] for each in spec["services"]] == ["/sshd", "/cron"]
        assert not any("tabard" in path for path in (*spec["files"], *spec["directories"]))
        assert ssh.bare(keys["hq1"].tunnel_public) in spec["files"]["/run/lab/authorized_keys"]
        assert "AllowUsers root\n" in spec["files"]["/run/lab/sshd_config"]
        known = specs["hq1"]["files"]["/root/.ssh/known_hosts"]
        assert f"{name},{lab.address(name)} {ssh.bare(keys[name].host_public)}\n" in known
    assert specs["hq1"]["files"]["/root/.ssh/id_ed25519"] == keys["hq1"].tunnel_private
    assert "/root/.ssh" in specs["hq1"]["directories"]
    assert "AllowUsers tunnel\n" in specs["hq1"]["files"]["/run/lab/sshd_config"]
    whole = places.specification(LAB, LAB.host("hq1"), keys=KEYS, programs=programs, keep=(), path="/bin")
    assert not any("/.ssh/" in path for path in whole["files"])
