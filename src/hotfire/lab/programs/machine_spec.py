"""The types of the JSON file that tells PID 1 of a machine what to set up and to run."""

from typing import TypedDict


class BindSpec(TypedDict):
    """One directory or file of the host in the machine."""

    source: str
    target: str
    read_only: bool


class ServiceSpec(TypedDict):
    """One supervised program."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: str
    nice: int
    realtime: bool
    fds: list[int]
    on_demand: bool


class CharacterDeviceSpec(TypedDict):
    """One character device, by its name below /dev."""

    name: str
    permissions: int
    major: int
    minor: int


class Spec(TypedDict):
    """One machine; all paths but those of services and directories are the host's."""

    hostname: str
    root: str
    var: str
    pid_file: str
    network_namespace: str
    cgroup_procs: list[str]
    cgroup_version: int
    cgroup_controllers: list[str]
    usr_layers: list[str]
    character_devices: list[CharacterDeviceSpec]
    device_links: dict[str, str]
    """Name below /dev, and where it leads."""
    block_devices: dict[str, str]
    """Where below /dev, and which of the host's files is its content."""
    binds: list[BindSpec]
    files: dict[str, str]
    directories: list[str]
    services: list[ServiceSpec]
