#!/usr/bin/python3
"""Print the lifecycle events of a libvirtd: "domain event detail".

The numbers are those of virDomainEventType and the type of its detail.  The
first line says "registered": from there on, no event is lost.
"""

import sys

import libvirt


def main():
    """Run until the daemon is gone."""
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open(sys.argv[1])
    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        lambda _, domain, *what: print(domain.name(), *what[:2]), None)
    print('registered')
    while connection.isAlive():
        libvirt.virEventRunDefaultImpl()


if __name__ == '__main__':
    main()
