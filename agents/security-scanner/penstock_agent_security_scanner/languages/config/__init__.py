"""Reading what describes machines: images, clusters, pipelines, clouds.

Files become a `Part` tree with lines (`read_yaml`, `read_terraform`) or a list of instructions
(`dockerfile`); a module per kind knows what is wrong in it.
"""
