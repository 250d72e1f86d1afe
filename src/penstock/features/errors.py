"""What can be wrong with the data that a model is trained on or asked with."""


class FeatureError(ValueError):
    """A feature whose values do not fit its schema; the message is one sentence that says what is right."""

    def __init__(
        self, feature: str, what: str, right: str = "", row: int | None = None, *, is_only_row: bool = False
    ) -> None:
        """`what` is wrong and what would be `right`; `row`, from 0, is named unless there is no other."""
        place = "" if row is None or is_only_row else f" in row {row}"
        super().__init__(f"feature {feature[:128]!r} {what}{place}{': ' + right if right else ''}")
        self.feature, self.row = feature, row
        self._what, self._right, self._is_only_row = what, right, is_only_row

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self)

    def in_slice(self, first_row: int) -> "FeatureError":
        """The same of the whole, where it came of a slice that begins at `first_row`."""
        row = None if self.row is None else self.row + first_row
        is_only_row = self._is_only_row and first_row == 0
        return FeatureError(self.feature, self._what, self._right, row, is_only_row=is_only_row)


class DatasetError(ValueError):
    """A dataset or FeatureSet that cannot be read; the message is one sentence that says what to do."""
