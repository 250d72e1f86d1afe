"""Training data by a FeatureSet: the columns in order, transformed exactly as the model server transforms requests."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from penstock.api.lineage import DatasetLineage, FeatureSetLineage, Lineage, Window
from penstock.api.v1alpha1.featureset import FeatureSet, FeatureType
from penstock.domain.features.schema import FeatureSchema, FeatureSpec
from penstock.features import tables
from penstock.features.columns import Array, as_column
from penstock.features.errors import DatasetError, FeatureError
from penstock.features.lineage import save_lineage
from penstock.features.schema_file import read_feature_set
from penstock.features.transform import Transform, as_matrix, label_of

Output = Literal["pandas", "polars", "numpy"]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a model is trained on; rows are in the order of the dataset.

    `X`: a frame of pandas or Polars with the features in the schema's order, or for "numpy" a float64 matrix
    [rows, features]. `y`: the label [rows], None if the FeatureSet has none. `keys`: the entityKey's columns [rows].
    `timestamps`: datetime64[us] in UTC [rows], None without timestampField.
    """

    X: Any
    y: Array | None
    keys: dict[str, Array]
    timestamps: Array | None
    schema: FeatureSchema
    lineage: Lineage
    columns: dict[str, Array] = field(repr=False)
    """The same features as `X`, one array [rows] each, as the model server hands them to a model."""

    def write_lineage(
        self,
        folder: str | Path,
        *,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        code: str | None = None,
        job: str | None = None,
    ) -> Path:
        """Write `penstock-lineage.json` beside the model; see `penstock.features.save_lineage`."""
        return save_lineage(self.lineage, folder, parameters=parameters, seed=seed, code=code, job=job)


def load(
    featureset: str | Path | Mapping[str, Any],
    data: Any,
    *,
    output: Output = "pandas",
    codes: bool | Container[str] = True,
    name: str | None = None,
    uri: str | None = None,
    digest: str | None = None,
) -> TrainingData:
    """Load the dataset of a FeatureSet for training.

    `featureset`: the path of its YAML, or the object. `data`: a path, folder, pattern or file:// URI of Parquet or CSV
    files on this machine, a list of them, a frame of pandas or Polars, or a dict of columns. `codes`: categories as
    int64 codes in their declared order; False leaves the texts, names of features make codes of these alone. `name`,
    `uri` and `digest` are for the lineage: the FeatureSet's name, its source's uri and the digest of the files if not
    given.
    Raises FeatureError for values that do not fit the schema, DatasetError for what cannot be read.
    """
    declared = read_feature_set(featureset)
    spec = declared.spec
    schema = FeatureSchema.of(spec.features)
    if output not in ("pandas", "polars", "numpy"):
        raise DatasetError(f"output is 'pandas', 'polars' or 'numpy', not {output!r}.")
    label = FeatureSpec(spec.label.name, spec.label.type) if spec.label else None
    names = list(dict.fromkeys([*schema.names, *_others(declared)]))
    if _is_place(data):
        files = tables.files_of(data)
        types = {feature.name: feature.type for feature in schema.features}
        if spec.timestamp_field:
            types.setdefault(spec.timestamp_field, FeatureType.TIMESTAMP)
        if label:
            types[label.name] = label.type
        slices = tables.slices_of_files(files, names, types, spec.source.format)
        digest = digest or files.digest()
    else:
        slices = tables.slices_of_frame(data, names)
    transform = Transform(schema, codes=codes)
    parts: list[dict[str, Array]] = []
    others: list[dict[str, Array]] = []
    start = 0
    for piece in slices:
        try:
            parts.append(transform.apply(piece))
            others.append(_other_columns(declared, label, piece))
        except FeatureError as error:
            raise error.in_slice(start) from None
        start += len(next(iter(parts[-1].values())))
    columns = _joined(parts)
    beside = _joined(others)
    timestamps = beside.get("timestamp")
    return TrainingData(
        X=_table(columns, output),
        y=beside.get("label"),
        keys={key: beside[f"key {key}"] for key in spec.entity_key},
        timestamps=timestamps,
        schema=schema,
        lineage=Lineage(
            dataset=DatasetLineage(
                name=name or declared.metadata.name,
                uri=uri or spec.source.uri,
                digest=digest,
                rows=start,
                window=_window(timestamps),
            ),
            feature_set=FeatureSetLineage(
                name=declared.metadata.name,
                generation=declared.metadata.generation or None,
                schema_digest=schema.digest,
                features=[item.model_copy(update={"description": None}) for item in spec.features],
            ),
        ),
        columns=columns,
    )


def _is_place(data: Any) -> bool:
    if isinstance(data, str | Path):
        return True
    return isinstance(data, Sequence) and bool(data) and all(isinstance(item, str | Path) for item in data)


def _others(declared: FeatureSet) -> list[str]:
    spec = declared.spec
    names = [*spec.entity_key]
    if spec.timestamp_field:
        names.append(spec.timestamp_field)
    if spec.label:
        names.append(spec.label.name)
    return names


def _other_columns(declared: FeatureSet, label: FeatureSpec | None, piece: Mapping[str, Any]) -> dict[str, Array]:
    spec = declared.spec
    found = {f"key {key}": _key(key, piece[key]) for key in spec.entity_key}
    if spec.timestamp_field:
        moment = FeatureSpec(spec.timestamp_field, FeatureType.TIMESTAMP)
        found["timestamp"] = label_of(moment, piece[spec.timestamp_field]).view("datetime64[us]")
    if label:
        found["label"] = label_of(label, piece[label.name])
    return found


def _key(name: str, values: Any) -> Array:
    array, missing = as_column(values)
    if missing is not None and missing.any():
        raise FeatureError(name, "is null", "every row needs its entityKey", int(missing.argmax()))
    return array


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _table(columns: dict[str, Array], output: Output) -> Any:
    if output == "numpy":
        return as_matrix(columns)
    try:
        if output == "polars":
            import polars  # noqa: PLC0415 - only for who wants it

            # Missing texts are null, missing numbers NaN, as in the model server.
            return polars.DataFrame(
                {
                    name: polars.Series(name, values, dtype=polars.String if values.dtype == object else None)
                    for name, values in columns.items()
                }
            )
        import pandas  # noqa: PLC0415 - only for who wants it

        return pandas.DataFrame(columns, copy=False)
    except ImportError:
        raise DatasetError(f"output={output!r} needs that library: pip install {output}.") from None


def _window(timestamps: Array | None) -> Window | None:
    if timestamps is None or not len(timestamps):
        return None
    first, last = timestamps.min().item(), timestamps.max().item()
    return Window.model_validate({"from": f"{first.isoformat()}Z", "to": f"{last.isoformat()}Z"})


__all__ = ["Output", "TrainingData", "load"]
