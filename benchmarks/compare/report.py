"""A report of a folder of runs, and of nothing else: Markdown, and a page that needs no other file.

Tables sort by a click on a column; figures are learning curves, errors against the number of
evaluations, errors under rotation against errors, and true against predicted numbers.
"""

from __future__ import annotations

import base64
import html
import io
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._text import markdown, short
from benchmarks.compare.configuration import ConfigurationError
from benchmarks.compare.runs import results

FORMS = ("bare", "symmetrized")
# Color-blind safe (Okabe and Ito)
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE = """
body {font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
      color: #1a1a1a; background: #fff}
.wide {overflow-x: auto} table {border-collapse: collapse; margin: 1rem 0}
th, td {padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap}
td.text {white-space: normal; text-align: left; min-width: 20rem}
th {cursor: pointer; background: #f4f4f4} th:first-child, td:first-child {text-align: left}
img {max-width: 100%; height: auto} .note {color: #555} code {background: #f4f4f4}
"""
SORT = """
document.querySelectorAll('th').forEach(head => head.addEventListener('click', () => {
  const table = head.closest('table'), place = [...head.parentNode.children].indexOf(head);
  const up = head.dataset.up !== '1'; head.dataset.up = up ? '1' : '0';
  const key = row => { const text = row.children[place].textContent;
    const number = parseFloat(text); return isNaN(number) ? text : number; };
  [...table.tBodies[0].rows].sort((a, b) => (key(a) > key(b) ? 1 : -1) * (up ? 1 : -1))
    .forEach(row => table.tBodies[0].append(row));
}));
"""
Rows = list[list[str]]
# Letters of a cell beyond which it is a text
LONG = 40


def write_report(folder: Path) -> list[Path]:
    """Write ``report.md`` and ``report.html`` into a folder of runs.

    Raises:
        ConfigurationError: if there are none in it.
    """
    found = list(results(folder))
    if not found:
        raise ConfigurationError(
            f"there are no results in {folder}: run a comparison first, python -m benchmarks run"
        )
    good = [one for one in found if one["status"] == "finished"]
    sets = _by_data(good)
    tables, drawn = [], []
    for name, ones in sets.items():
        on = f"{name}: " if len(sets) > 1 else ""
        tables.append((f"{on}errors on the test set", *errors_table(ones)))
        if any(form["also"] for one in ones for form in one["forms"].values()):
            tables.append((f"{on}errors elsewhere", *elsewhere_table(ones)))
        tables.append((f"{on}cost", *cost_table(ones)))
        drawn += [(on + caption, picture) for caption, picture in figures(ones)]
    bad = [[_name(one), str(one["run"]["seed"]), one["error"]] for one in found if one not in good]
    if bad:
        tables.append(("Runs that failed", ["network", "seed", "error"], bad))
    title, notes = folder.name, list(_notes(found))
    text = [f"# {title}", *notes]
    for name, header, rows in tables:
        text += [f"## {_sentence(name)}", markdown(header, rows)]
    paths = [folder / "report.md", folder / "report.html"]
    paths[0].write_text("\n\n".join(text) + "\n")
    paths[1].write_text(_page(title, notes, tables, drawn))
    return paths


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _by_data(found: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs on the same data, by its name."""
    sets: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        data = one["run"]["data"]
        sets.setdefault(data["name"] or data["set"], []).append(one)
    return sets


def _name(one: dict[str, Any]) -> str:
    """The network, and its frames where they have a name."""
    network, frames = one["run"]["network"], one["run"]["frames"]
    name = network["name"] or network["make"]
    return f"{name}, {frames['name']}" if frames["name"] else name


def _groups(found: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Runs that differ by their seed alone, by network and mode of training.

    Where others of the same name and mode differ in more, what that is stands in the name.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        name, mode = _name(one), one["run"]["training"]["mode"]
        said = _settings(one["run"])
        usual = first.setdefault((name, mode), said)
        other = [key for key in {**usual, **said} if usual.get(key) != said.get(key)]
        more = [f"{key.rpartition('.')[2]} {said.get(key)}" for key in other]
        groups.setdefault((", ".join([name, *more]), mode), []).append(one)
    return groups


def _settings(run: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """All that a run is told, by the path of each value, but its seed and what it is called."""
    found: dict[str, Any] = {}
    for key, value in run.items():
        path = f"{within}.{key}" if within else key
        if isinstance(value, Mapping):
            found |= _settings(value, path)
        elif path not in ("seed", "network.on", "network.name", "data.name", "frames.name"):
            found[path] = value
    return found


def _over(values: Iterable[float], said: Callable[[float], str] = short) -> str:
    """The mean, and the standard deviation over seeds if there are several."""
    values = list(values)
    if not values:
        return ""
    mean = said(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ± {said(statistics.stdev(values))}"


def _titled(name: str, target: Mapping[str, Any]) -> str:
    """The head of a column of errors, or of accuracies of labels."""
    return (
        f"{name}, accuracy (%)" if target["classes"] else f"{name}, MAE ({target['unit'] or '1'})"
    )


def _number(error: Mapping[str, float]) -> float:
    return 100 * error["accuracy"] if "accuracy" in error else error["mae"]


def errors_table(found: Sequence[dict[str, Any]]) -> tuple[list[str], Rows]:
    """Mean absolute errors or accuracies, and errors under rotation."""
    names = list(dict.fromkeys(name for one in found for name in one["targets"]))
    targets = {name: one["targets"][name] for one in found for name in one["targets"]}
    header = ["network", "trained", "evaluated"]
    header += [_titled(name, targets[name]) for name in names]
    header += ["rotation error", "evaluations"]
    rows = []
    for (network, mode), runs in _groups(found).items():
        for form in FORMS:
            shown = [one["forms"][form] for one in runs if form in one["forms"]]
            if not shown:
                continue
            row = [network, mode, form]
            for name in names:
                said = [one["errors"].get(name, {}) for one in shown]
                row.append(_over(_number(error) for error in said if error))
            turned = [max(one["rotation_error"].values()) for one in shown if one["rotation_error"]]
            row.append(f"{max(turned):.0e}" if turned else "")
            row.append(_over(one["evaluations"] for one in shown))
            rows.append(row)
    return header, rows


def elsewhere_table(found: Sequence[dict[str, Any]]) -> tuple[list[str], Rows]:
    """Errors or accuracies on structures of other kinds than those that were learned from."""
    targets = {name: one["targets"][name] for one in found for name in one["targets"]}
    header = ["network", "trained", "evaluated", "on", *(_titled(*one) for one in targets.items())]
    rows = []
    for (network, mode), runs in _groups(found).items():
        for form in FORMS:
            shown = [one["forms"][form]["also"] for one in runs if form in one["forms"]]
            for other in shown[0] if shown else ():
                said = [[one[other].get(name, {}) for one in shown] for name in targets]
                values = [_over(_number(error) for error in each if error) for each in said]
                rows.append([network, mode, form, other, *values])
    return header, rows


def cost_table(found: Sequence[dict[str, Any]]) -> tuple[list[str], Rows]:
    """Parameters, time of training and of evaluation."""
    header = ["network", "trained", "parameters", "training (min)"]
    header += [f"{form} (ms a structure)" for form in FORMS]
    rows = []
    for (network, mode), runs in _groups(found).items():
        row = [network, mode, f"{runs[0]['parameters']:,}"]
        row.append(_over(one["training_seconds"] / 60 for one in runs))
        for form in FORMS:
            shown = [one["forms"][form] for one in runs if form in one["forms"]]
            row.append(_over(1e3 * one["seconds_per_structure"] for one in shown))
        rows.append(row)
    return header, rows


def _notes(found: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Data, machine, versions and command, once each."""
    first = found[0]
    training = first["run"]["training"]
    for name, (one, *_) in _by_data(found).items():
        data = one["run"]["data"]
        yield (
            f"{_sentence(name)}: {one.get('source', data['set'])}; {data['train']} structures to "
            f"learn from, {data['validation']} to choose a state by, {data['test']} for the test."
        )
    yield f"{training['steps']} steps of {training['batch']} structures, {training['dtype']}."
    yield (
        "Rotation error: the largest |F(g x) - g F(x)| over test structures and rotations, in "
        "units of the spread of the output, in double precision. Means ± standard deviations over "
        "seeds."
    )
    machine, versions = first["machine"], first["versions"]
    said = ", ".join(f"{name} {value}" for name, value in versions.items())
    yield f"{first['date']}; {machine['processor']}, {machine['threads']} threads; {said}."
    yield f"Command: `{first['command']}`"


# --- figures


def figures(found: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Captions and pictures, as data that a page holds."""
    import matplotlib as mpl

    mpl.use("Agg")
    colors = {key: COLORS[i % len(COLORS)] for i, key in enumerate(_groups(found))}
    drawn = [
        ("loss on the validation set while training", _curves(found, colors)),
        ("errors against the number of evaluations, and under rotation", _costs(found, colors)),
    ]
    names = list(found[0]["forms"]["bare"]["parity"])
    if names:
        drawn.append(("predicted against true numbers of the test set", _parity(found, names)))
    return drawn


def _picture(figure: Any) -> str:
    import matplotlib.pyplot as plt

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    plt.close(figure)
    return base64.b64encode(stream.getvalue()).decode()


def _curves(found: Sequence[dict[str, Any]], colors: dict[tuple[str, str], str]) -> str:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for (network, mode), runs in _groups(found).items():
        for i, one in enumerate(runs):
            axes.plot(
                [row["step"] for row in one["curve"]],
                [row["validation"] for row in one["curve"]],
                color=colors[network, mode],
                label=f"{network}, {mode}" if i == 0 else None,
            )
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return _picture(figure)


def _first_error(form: dict[str, Any], name: str) -> float:
    error = form["errors"][name]
    return 1 - error["accuracy"] if "accuracy" in error else error["mae"]


def _costs(found: Sequence[dict[str, Any]], colors: dict[tuple[str, str], str]) -> str:
    import matplotlib.pyplot as plt

    name = list(found[0]["targets"])[-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for key, runs in _groups(found).items():
        for one in runs:
            for form, marker in zip(FORMS, "os", strict=True):
                if form not in one["forms"]:
                    continue
                shown, error = one["forms"][form], _first_error(one["forms"][form], name)
                look = {"color": colors[key], "marker": marker, "linestyle": "none"}
                label = f"{key[0]}, {key[1]}, {form}" if one is runs[0] else None
                left.plot(shown["evaluations"], error, label=label, **look)
                turned = shown["rotation_error"]
                if turned:
                    right.plot(max(1e-16, max(turned.values())), error, **look)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="evaluations for each structure",
        ylabel=f"error of {name}",
    )
    right.set(xscale="log", xlabel="rotation error (spread of the output)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return _picture(figure)


def _parity(found: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    import matplotlib.pyplot as plt

    keys = list(_groups(found))
    figure, panels = plt.subplots(
        len(names),
        len(keys),
        figsize=(2.6 * len(keys), 2.6 * len(names)),
        squeeze=False,
        layout="constrained",
    )
    for row, name in zip(panels, names, strict=True):
        for axes, key in zip(row, keys, strict=True):
            one = _groups(found)[key][0]
            form = "symmetrized" if "symmetrized" in one["forms"] else "bare"
            true, said = one["forms"][form]["parity"][name]
            axes.plot(true, said, ".", markersize=3, color=COLORS[0])
            axes.axline((true[0], true[0]), slope=1, color="black", linewidth=0.7)
            axes.set_title(f"{key[0]}, {key[1]}\n{name}", fontsize=8)
            axes.tick_params(labelsize=7)
    figure.supxlabel("true")
    figure.supylabel("predicted")
    return _picture(figure)


# --- the page


def _opened(cell: str) -> str:
    """The start of a cell; long texts are broken into lines."""
    return '<td class="text">' if len(cell) > LONG else "<td>"


def _page(
    title: str,
    notes: Sequence[str],
    tables: Sequence[tuple[str, list[str], Rows]],
    drawn: Sequence[tuple[str, str]],
) -> str:
    """One HTML page that needs nothing else."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [f'<p class="note">{html.escape(note).replace("`", "")}</p>' for note in notes]
    for name, header, rows in tables:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join(
            "<tr>" + "".join(f"{_opened(cell)}{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        parts.append(
            f"<h2>{html.escape(_sentence(name))}</h2><div class='wide'><table>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )
    for caption, picture in drawn:
        parts.append(
            f"<h2>{html.escape(_sentence(caption))}</h2>"
            f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{picture}">'
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(parts)}<script>{SORT}</script></body></html>\n"
    )
