"""Metrics against scikit-learn, intervals against scipy and direct computation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from penstock.stats.evaluation import decisions, ranking, roc
from penstock.stats.evaluation.estimate import Estimate, Options, Problem
from penstock.stats.evaluation.metrics import CLASSES, NAMES, REGRESSION, Rows, compare, evaluate, resamples_for
from penstock.stats.evaluation.uncertain import Share
from penstock.stats.evaluation.waiting import quantile, quantile_bounds

OPTIONS = Options(seed=42)


def classes(n=600, *, seed=3, positive=0.3, shift=1.0, coarse=False):
    """Rows of a classifier and a slightly worse champion whose errors go together."""
    random = np.random.default_rng(seed)
    labels = (random.random(n) < positive).astype(float)
    shared = random.normal(size=n)
    logits = [shift * labels * 2 - shift + shared + random.normal(size=n) * noise for noise in (0.4, 0.8)]
    one, other = (1 / (1 + np.exp(-item)) for item in logits)
    if coarse:
        one, other = one.round(1), other.round(1)
    return Rows(labels, one, other)


def numbers(n=600, *, seed=3):
    random = np.random.default_rng(seed)
    labels = random.gamma(2.0, 10.0, n)
    return Rows(labels, labels + random.normal(0, 3, n), labels + random.normal(0, 4, n) + 0.5)


ORACLES = {
    "roc_auc": oracle.roc_auc_score,
    "average_precision": oracle.average_precision_score,
    "accuracy": lambda y, s: oracle.accuracy_score(y, s >= 0.5),
    "precision": lambda y, s: oracle.precision_score(y, s >= 0.5),
    "recall": lambda y, s: oracle.recall_score(y, s >= 0.5),
    "f1": lambda y, s: oracle.f1_score(y, s >= 0.5),
    "log_loss": oracle.log_loss,
    "brier": oracle.brier_score_loss,
    "mae": oracle.mean_absolute_error,
    "rmse": oracle.root_mean_squared_error,
    "r2": oracle.r2_score,
}


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("metric", NAMES)
def test_values_are_scikit_learn_s(metric, coarse):
    rows = numbers() if metric in REGRESSION else classes(coarse=coarse)
    found, against = evaluate(metric, rows, OPTIONS), compare(metric, rows, OPTIONS)
    value, champion = ORACLES[metric](rows.labels, rows.scores), ORACLES[metric](rows.labels, rows.champion)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.lower < found.value < found.upper
    assert against.champion.value == pytest.approx(champion, rel=1e-9)
    assert against.difference.value == pytest.approx(value - champion, rel=1e-9, abs=1e-12)
    assert against.difference.lower < against.difference.value < against.difference.upper
    assert 0 <= against.p_value <= 1


# Ten positives and ten negatives, worked out by hand below from the definition.
LABELS = np.array([1] * 10 + [0] * 10, dtype=float)
FIRST = np.array([9, 8, 8, 7, 6, 6, 5, 4, 3, 2, 7, 6, 5, 4, 4, 3, 2, 2, 1, 1], dtype=float)
SECOND = np.array([9, 7, 9, 5, 6, 3, 5, 4, 6, 1, 6, 6, 5, 7, 4, 2, 2, 3, 1, 1], dtype=float)


def direct_delong(labels, *models):
    """DeLong et al. 1988 as it stands in the paper, pair by pair: areas and their covariance matrix."""
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    m, n = len(positives), len(negatives)

    def wins(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    areas, by_positive, by_negative = [], [], []
    for scores in models:
        table = [[wins(scores[i], scores[j]) for j in negatives] for i in positives]
        areas.append(sum(map(sum, table)) / (m * n))
        by_positive.append([sum(row) / n for row in table])
        by_negative.append([sum(table[i][j] for i in range(m)) / m for j in range(n)])
    return areas, np.cov(by_positive) / m + np.cov(by_negative) / n


def test_delong_is_the_paper_s_formula():
    areas, covariance = direct_delong(LABELS, FIRST, SECOND)
    # Computed once with exact fractions, independently of numpy (see test_delong_by_fractions).
    found = roc.area_difference(LABELS > 0, FIRST, SECOND)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-15)
    assert found.error == pytest.approx(math.sqrt(variance), rel=1e-12)
    rows = classes(300, coarse=True)
    areas, covariance = direct_delong(rows.labels, rows.scores, rows.champion)
    one = roc.area(rows.positive, rows.scores)
    assert (one.value, one.error**2) == pytest.approx((areas[0], covariance[0, 0]), rel=1e-10)
    found = roc.area_difference(rows.positive, rows.scores, rows.champion)
    assert found.error**2 == pytest.approx(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], rel=1e-10)


def test_delong_by_fractions():
    from fractions import Fraction

    def parts(scores):
        table = [[Fraction(int(2 * (x > y) + (x == y)), 2) for y in scores[10:]] for x in scores[:10]]
        return [sum(row) / 10 for row in table], [sum(column) / 10 for column in zip(*table, strict=True)]

    def variance(values):
        mean = sum(values) / len(values)
        return sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)

    (p1, n1), (p2, n2) = parts(FIRST), parts(SECOND)
    expected = variance([a - b for a, b in zip(p1, p2, strict=True)])
    expected += variance([a - b for a, b in zip(n1, n2, strict=True)])
    found = roc.area_difference(LABELS > 0, FIRST, SECOND)
    assert found.error**2 == pytest.approx(float(expected), rel=1e-12)
    assert found.value == pytest.approx(float(sum(p1) / 10 - sum(p2) / 10), rel=1e-12)


def test_delong_agrees_with_the_bootstrap():
    rows = classes(1500)
    random = np.random.default_rng(1)
    draws = []
    for _ in range(1000):
        index = random.integers(0, len(rows), len(rows))
        one = oracle.roc_auc_score(rows.labels[index], rows.scores[index])
        draws.append(one - oracle.roc_auc_score(rows.labels[index], rows.champion[index]))
    assert roc.area_difference(rows.positive, rows.scores, rows.champion).error == pytest.approx(np.std(draws), rel=0.1)


def test_bootstrap_intervals_are_those_of_row_copies():
    rows = classes(800)
    random = np.random.default_rng(5)
    index = random.integers(0, 800, size=(2000, 800))
    for metric in ("average_precision", "f1", "log_loss", "brier", "precision"):
        found = compare(metric, rows, OPTIONS).difference
        draws = [
            ORACLES[metric](rows.labels[i], rows.scores[i]) - ORACLES[metric](rows.labels[i], rows.champion[i])
            for i in index[: 500 if metric == "average_precision" else 1000]
        ]
        width = np.quantile(draws, 0.975) - np.quantile(draws, 0.025)
        assert found.upper - found.lower == pytest.approx(width, rel=0.12), metric
        assert found.lower == pytest.approx(np.quantile(draws, 0.025), abs=0.1 * width), metric


def test_blocks_of_rows_vary_as_rows_do():
    rows = numbers(40_000)
    found = evaluate("mae", rows, OPTIONS)
    losses = np.abs(rows.labels - rows.scores)
    expected = stats.norm.interval(0.95, losses.mean(), losses.std() / 200)
    assert (found.lower, found.upper) == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0]))
    squares = (rows.labels - rows.scores) ** 2
    r2 = evaluate("r2", rows, OPTIONS)
    spread = rows.labels.var()
    influence = -squares / spread + squares.mean() * (rows.labels - rows.labels.mean()) ** 2 / spread**2
    assert (r2.upper - r2.lower) / 2 / 1.96 == pytest.approx(influence.std() / 200, rel=0.06)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (1, 30), (29, 30), (400, 1000)])
def test_shares_are_scipy_s_exact_binomial(hits, n):
    test = stats.binomtest(hits, n)
    for tail in (0.025, 0.005):
        interval = test.proportion_ci(1 - 2 * tail, method="exact")
        assert Share(hits, n).bounds(tail) == pytest.approx((interval.low, interval.high), abs=1e-12)
    for threshold in (0.1, 0.5, 0.9):
        assert Share(hits, n).p_below(threshold) == pytest.approx(
            stats.binomtest(hits, n, threshold, alternative="less").pvalue, abs=1e-12
        )
        assert Share(hits, n).p_above(threshold) == pytest.approx(
            stats.binomtest(hits, n, threshold, alternative="greater").pvalue, abs=1e-12
        )


def test_f1_is_an_exact_share_on_another_scale():
    rows = classes(300)
    _, fp, fn, tp = decisions.confusion(rows.positive, rows.scores >= 0.5).tolist()
    interval = stats.binomtest(tp, tp + fp + fn).proportion_ci(0.95, method="exact")
    found = evaluate("f1", rows, OPTIONS, bound=0.6)
    assert (found.lower, found.upper) == pytest.approx([2 * q / (1 + q) for q in (interval.low, interval.high)])
    assert found.p_below == pytest.approx(stats.binomtest(tp, tp + fp + fn, 0.6 / 1.4, alternative="less").pvalue)


def test_mcnemar_is_the_exact_binomial_test():
    labels = np.ones(100, dtype=bool)
    candidate, champion = np.arange(100) < 70, (np.arange(100) < 40) | (np.arange(100) >= 88)
    only_candidate, only_champion, p_value = decisions.mcnemar(decisions.paired(labels, candidate, champion))
    assert (only_candidate, only_champion) == (30, 12)
    assert p_value == pytest.approx(0.0079, abs=1e-4)
    assert p_value == pytest.approx(2 * stats.binom.cdf(12, 42, 0.5), rel=1e-12)
    assert decisions.mcnemar(decisions.paired(labels, candidate, candidate)) == (0, 0, 1.0)


@pytest.mark.parametrize("n", [20, 100, 2000])
def test_nothing_misplaced_is_no_proof_of_perfection(n):
    labels = np.arange(n) % 2.0
    found = evaluate("roc_auc", Rows(labels, labels + np.linspace(0, 0.4, n)), OPTIONS)
    assert (found.value, found.upper) == (1.0, 1.0)
    assert 0 < 1 - found.lower < 8 / n
    assert evaluate("accuracy", Rows(labels, labels), OPTIONS).lower == pytest.approx(0.025 ** (1 / n))
    difference = compare("roc_auc", Rows(labels, labels + np.linspace(0, 0.4, n), labels), OPTIONS).difference
    assert difference.value == 0
    assert difference.upper == -difference.lower == pytest.approx(1 - 0.025 ** (2 / n))


def test_newcombe_is_his_equation():
    found = roc.NewcombeArea(0.98, 40, 60)
    for bound in found.bounds(0.025):
        assert abs(0.98 - bound) == pytest.approx(1.959964 * found._error(bound), rel=1e-5)
    q1, q2 = 0.9 / (2 - 0.9), 2 * 0.81 / 1.9  # Hanley & McNeil 1982, with equal weights (m + n) / 2 - 1
    expected = (0.09 + 49 * (q1 - 0.81) + 49 * (q2 - 0.81)) / 2400
    assert found._error(0.9) ** 2 == pytest.approx(expected, rel=1e-12)


def test_the_same_model_is_no_better():
    rows = classes()
    same = Rows(rows.labels, rows.scores, rows.scores.copy())
    for metric in CLASSES:
        against = compare(metric, same, OPTIONS)
        assert against.difference.value == 0
        assert against.difference.lower <= 0 <= against.difference.upper
        assert against.p_value == 1.0
    decided = compare("accuracy", same, OPTIONS).difference
    assert decided.lower < 0 < decided.upper  # 600 rows without a disagreement do not exclude a rare one
    assert decided.upper < 4 / 600


DEGENERATE = [
    ("no rows", [], [], dict.fromkeys(NAMES, Problem.NO_ROWS)),
    (
        "one class",
        [1.0] * 50,
        list(np.linspace(0.1, 0.9, 50)),
        {"roc_auc": Problem.ONE_CLASS, "average_precision": Problem.ONE_CLASS},
    ),
    ("no positive", [0.0] * 50, [0.2] * 50, dict.fromkeys(("precision", "recall", "f1"), Problem.NOT_DEFINED)),
    ("all alike", [0.0, 1.0] * 50, [0.5] * 100, {"roc_auc": Problem.CONSTANT, "brier": Problem.CONSTANT}),
    ("constant labels", [3.0] * 50, list(np.arange(50.0)), {"r2": Problem.CONSTANT}),
    ("perfect", [1.0, 2.0] * 50, [1.0, 2.0] * 50, dict.fromkeys(("mae", "rmse", "r2"), Problem.CONSTANT)),
    ("few", [0.0, 1.0] * 4, [0.1, 0.9] * 4, dict.fromkeys(("roc_auc", "log_loss"), Problem.TOO_FEW)),
    ("nan", [0.0, 1.0] * 50, [0.1, math.nan] * 50, dict.fromkeys(NAMES, Problem.NOT_FINITE)),
    ("infinite", [0.0, 1.0] * 50, [0.1, math.inf] * 50, dict.fromkeys(NAMES, Problem.NOT_FINITE)),
    ("margins", [0.0, 1.0] * 50, [-3.0, 2.0] * 50, dict.fromkeys(("log_loss", "brier"), Problem.NOT_PROBABILITY)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "scores", "problems"), [case[1:] for case in DEGENERATE], ids=[c[0] for c in DEGENERATE]
)
def test_what_cannot_be_known_is_no_number(labels, scores, problems):
    rows = Rows(np.array(labels), np.array(scores))
    for metric, problem in problems.items():
        found = evaluate(metric, rows, OPTIONS, bound=0.5)
        assert found.problem is problem, metric
        assert (found.lower, found.upper, found.p_below, found.p_above) == (None,) * 4
        assert compare(metric, rows, OPTIONS).difference.problem is Problem.NO_ROWS


def test_a_champion_that_answers_nonsense_makes_no_difference():
    rows = classes()
    broken = Rows(rows.labels, rows.scores, np.full(len(rows), math.nan))
    for metric in CLASSES:
        against = compare(metric, broken, OPTIONS)
        assert against.difference.problem is against.champion.problem is Problem.NOT_FINITE
        assert against.p_value is None


def test_fewer_rows_than_asked_for_are_no_evidence():
    found = evaluate("accuracy", classes(99), Options(seed=1, least_rows=100))
    assert (found.problem, found.lower) == (Problem.TOO_FEW, None)


def test_an_infinite_number_is_no_estimate():
    assert Estimate(5, math.inf, 0.0, 1.0) == Estimate(5, problem=Problem.NOT_FINITE)


def test_certain_and_wrong_is_finite_as_in_scikit_learn():
    rows = Rows(np.array([0.0, 1.0] * 20), np.array([1.0, 1.0, 0.1, 0.6] * 10))
    assert evaluate("log_loss", rows, OPTIONS).value == pytest.approx(oracle.log_loss(rows.labels, rows.scores))


def test_more_confidence_takes_more_draws_and_is_wider():
    assert [resamples_for(level) for level in (0.5, 0.95, 0.99, 0.9999)] == [2000, 2000, 10_000, 20_000]
    rows = numbers(500)
    found = [evaluate("mae", rows, Options(seed=1, confidence=level)) for level in (0.8, 0.95, 0.99, 0.9999)]
    widths = [item.upper - item.lower for item in found]
    assert widths == sorted(widths)
    assert widths[3] / widths[1] == pytest.approx(stats.norm.ppf(0.99995) / 1.96, rel=0.1)


def test_the_seed_and_nothing_else_draws():
    rows = classes()
    again = Options(seed=42)
    assert compare("f1", rows, OPTIONS) == compare("f1", rows, again)
    assert compare("f1", rows, OPTIONS) != compare("f1", rows, Options(seed=43))


def test_very_many_rows_take_fewer_draws():
    assert [ranking.resamples_for(n, 2000) for n in (100, 50_000, 200_000, 10_000_000)] == [2000, 2000, 500, 400]


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_quantiles_of_latency_and_their_bounds(share):
    values = np.random.default_rng(2).gamma(2.0, 3.0, 1000)
    assert quantile(values, share) == np.quantile(values, share, method="inverted_cdf")
    lower, upper = quantile_bounds(values, share, 0.025)
    assert lower < quantile(values, share) < upper
    interval = stats.quantile_test(values, p=share).confidence_interval(0.95)
    assert (lower, upper) == (interval.low, interval.high)


def test_too_few_requests_bound_nothing():
    values = np.arange(367.0)
    assert quantile_bounds(values, 0.99, 0.025)[1] is None
    assert quantile_bounds(np.arange(368.0), 0.99, 0.025)[1] == 367.0
    assert quantile_bounds(np.arange(3.0), 0.5, 0.025) == (None, None)


def test_every_pair_of_scores_counts_half_when_tied():
    labels, scores = np.array([1.0] * 12 + [0.0] * 12), np.array([1, 2, 3] * 8, dtype=float)
    pairs = itertools.product(scores[:12], scores[12:])
    expected = np.mean([(x > y) + 0.5 * (x == y) for x, y in pairs])
    assert evaluate("roc_auc", Rows(labels, scores), OPTIONS).value == pytest.approx(expected)
