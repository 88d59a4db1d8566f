// Learn on the device: read 60 digits that stand upside down, then others.
#include <stdio.h>
#include <string.h>

#include "data.h"
#include "reader_weights.h"

// What is trained, its gradients and its velocities; the constants stay where they are.
static float conv1_weight[72], conv1_bias[8], linear1_weight[4096], linear1_bias[32],
    linear2_weight[320], linear2_bias[10];
static float conv1_weight_g[72], conv1_bias_g[8], linear1_weight_g[4096], linear1_bias_g[32],
    linear2_weight_g[320], linear2_bias_g[10];
static float conv1_weight_v[72], conv1_bias_v[8], linear1_weight_v[4096], linear1_bias_v[32],
    linear2_weight_v[320], linear2_bias_v[10];
static float workspace[READER_WORKSPACE];

static const struct reader_parameters given = {
    conv1_weight, conv1_bias, linear1_weight, linear1_bias, linear2_weight, linear2_bias};
static const struct reader_arrays parameters = {
    conv1_weight, conv1_bias, linear1_weight, linear1_bias, linear2_weight, linear2_bias};
static const struct reader_arrays gradients = {
    conv1_weight_g, conv1_bias_g, linear1_weight_g, linear1_bias_g, linear2_weight_g, linear2_bias_g};
static const struct reader_arrays speed = {
    conv1_weight_v, conv1_bias_v, linear1_weight_v, linear1_bias_v, linear2_weight_v, linear2_bias_v};

static void begin(void)
{
    memcpy(conv1_weight, reader_weights.conv1_weight, sizeof conv1_weight);
    memcpy(conv1_bias, reader_weights.conv1_bias, sizeof conv1_bias);
    memcpy(linear1_weight, reader_weights.linear1_weight, sizeof linear1_weight);
    memcpy(linear1_bias, reader_weights.linear1_bias, sizeof linear1_bias);
    memcpy(linear2_weight, reader_weights.linear2_weight, sizeof linear2_weight);
    memcpy(linear2_bias, reader_weights.linear2_bias, sizeof linear2_bias);
}

static int right_of_tested(const struct reader_parameters *p)
{
    int right = 0;
    for (int n = TUNED; n < TUNED + TESTED; n++) {
        float scores[10];
        int best = 0;
        reader_forward(p, images + 64 * n, scores, workspace);
        for (int k = 1; k < 10; k++)
            if (scores[k] > scores[best])
                best = k;
        right += best == (int)digits[n];
    }
    return right;
}

int main(void)
{
    printf("before: %d of %d\n", right_of_tested(&reader_weights), TESTED);
    begin();
    for (int epoch = 0; epoch < 12; epoch++)
        for (int n = 0; n < TUNED; n++) {
            float loss[1];
            reader_loss_and_gradients(
                &given, images + 64 * n, digits + n, loss, &gradients, workspace);
            reader_sgd_step(&parameters, &gradients, &speed, 0.02f, 0.5f, 0);
        }
    printf("after: %d of %d\n", right_of_tested(&given), TESTED);
    return 0;
}
