#!/usr/bin/python3
"""Say whether the host's KVM offers the crash MSRs of Hyper-V.

The kernel is asked what QEMU asks it.  Where they are not, the line is the
reason for which a test of them is skipped.
"""

import fcntl
import struct

KVM_CHECK_EXTENSION = 0xae03
KVM_GET_MSR_INDEX_LIST = 0xc004ae02
KVM_CAP_HYPERV = 44
HV_X64_MSR_CRASH_CTL = 0x40000105
MOST_MSRS = 4096  # KVM has hundreds


def offers_crash_msrs(kvm):
    """Ask an open /dev/kvm."""
    if fcntl.ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV) <= 0:
        return False
    msrs = bytearray(struct.pack('I', MOST_MSRS) + bytes(4 * MOST_MSRS))
    fcntl.ioctl(kvm, KVM_GET_MSR_INDEX_LIST, msrs)
    number, *listed = struct.unpack(f'{1 + MOST_MSRS}I', msrs)
    return HV_X64_MSR_CRASH_CTL in listed[:number]


def main(path='/dev/kvm'):
    """Ask, and print one line."""
    with open(path, 'rb+', buffering=0) as kvm:
        there = offers_crash_msrs(kvm)
    print(f'KVM: {"the" if there else "no"} crash MSRs of Hyper-V')


if __name__ == '__main__':
    main()
