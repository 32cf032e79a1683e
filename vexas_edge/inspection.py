"""A bundle's manifest in words."""

from vexas_edge.bundle import Bundle
from vexas_edge.manifest import Model


def text_from_bundle(bundle: Bundle) -> str:
    """What the bundle is for, what each model takes, and what was measured of each graph."""
    manifest = bundle.manifest
    lead = f", lead model {manifest.lead}" if manifest.lead else ""
    lines = [
        f"{manifest.name} {manifest.version} ({manifest.created})",
        f"manifest sha256 {bundle.sha256}",
        *(["SYNTHETIC: made from drawn cells; its scores mean nothing."] * manifest.synthetic),
        f"intended use: {manifest.intended_use}",
        f"classes {', '.join(manifest.classes)}; positive {manifest.positive}; "
        f"labels by {manifest.label_rule}{lead}",
    ]
    for name, model in manifest.models.items():
        lines += ["", f"model {name}", *(f"  {line}" for line in _model_lines(model))]
    return "\n".join(lines)


def _model_lines(model: Model) -> list[str]:
    recipe = model.aggregation
    fate = "cropped" if model.larger == "crop" else "rejected"
    lines = [
        f"cells: {', '.join(model.cells)}; at least {model.minimum_cells}",
        f"canvas: {model.canvas_px} px, larger cells {fate}",
        f"preprocessing: {model.preprocessing.name}",
        f"aggregation: {recipe.method} of {recipe.draw_size} cells, {recipe.score_draws} draws, "
        f"seed {recipe.seed}",
        f"threshold {model.threshold:g}; encodings of {model.encoding_width}",
    ]
    for file, entry in sorted(model.files.items()):
        measured = ", ".join(f"{name} {value}" for name, value in entry.measured.items())
        lines.append(f"{file}: {entry.bytes} bytes{'; ' + measured if measured else ''}")
    return lines
