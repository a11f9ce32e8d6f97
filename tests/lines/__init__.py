"""Of more than one release line.

It takes a build of each, and runs only if it is named: see pytest.ini.
"""
