"""YAML files, one per thing a user runs. They ship in the wheel: `extends: configs/demo.yaml` finds them there too."""
