"""This repository: its pages, checks, series and packages."""
