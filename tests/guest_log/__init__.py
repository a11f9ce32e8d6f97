"""8-guest-log: what QEMU reads of a real kernel's log."""

import pytest

# Its assertions say what differs, as those of the tests do
pytest.register_assert_rewrite('tests.guest_log.log_guest')
