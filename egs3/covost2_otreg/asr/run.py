"""Train, decode and compare with ESPnet3; see README.md for the commands."""

if __name__ == "__main__":  # workers import this file too, and need none of it
    from espnet3.systems.launch import launch

    from espnet_otreg.espnet3.system import OTRegSystem

    launch(OTRegSystem, conf_package="egs3.TEMPLATE.esp2_asr")
